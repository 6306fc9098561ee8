"""Everything that is asked of the controller on the bus, with the handler that answers it."""

import time
from typing import Any

from deis_bus.contracts.certificates import CERTIFICATE_READ, CertificatePair, CertificateRead
from deis_bus.contracts.http import OPERATION_READ, OperationRead, OperationState
from deis_bus.contracts.push import (
    BUILD_TAKE,
    PUSH_CLOSE,
    PUSH_OPEN,
    PUSH_READ,
    PUSH_RECEIVED,
    PUSH_RENEW,
)
from deis_bus.errors import Refused
from deis_bus.rpc import Context, Handler, Method
from deis_platform.logs import bound
from deis_platform.metrics import Metrics
from deis_services.controller import operations
from deis_services.controller.deps import Deps
from deis_services.controller.dispatch import methods
from deis_services.controller.pushes import Pushes


def served(deps: Deps, metrics: Metrics) -> dict[Method[Any, Any], Handler]:
    """For `deis_bus.rpc.endpoints`; how long each takes is a metric."""
    pushes = Pushes(deps)

    async def operation(question: OperationRead, _: Context) -> OperationState:
        return await operations.read(deps, question)

    answers: dict[Method[Any, Any], Handler] = methods(deps) | {
        OPERATION_READ: operation,
        CERTIFICATE_READ: certificate,
        PUSH_OPEN: pushes.open,
        PUSH_RENEW: pushes.renew,
        PUSH_CLOSE: pushes.close,
        PUSH_RECEIVED: pushes.received,
        PUSH_READ: pushes.read,
        BUILD_TAKE: pushes.take,
    }
    return {method: _timed(method.name, answer, metrics) for method, answer in answers.items()}


async def certificate(_question: CertificateRead, _: Context) -> CertificatePair:
    """No application has a certificate of its own yet. Raises Refused 404."""
    raise Refused(404, "No Certificate matches the given query.")


def _timed(name: str, answer: Handler, metrics: Metrics) -> Handler:
    seconds = metrics.seconds(
        "controller_request_seconds", "time to answer a request", ("request",)
    ).labels(name)

    async def timed(question: Any, context: Context) -> Any:
        began = time.perf_counter()
        try:
            with bound(event=name):
                return await answer(question, context)
        finally:
            seconds.observe(time.perf_counter() - began)

    return timed
