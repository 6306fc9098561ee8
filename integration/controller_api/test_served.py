"""Whatever a contract says the controller answers, it answers."""

import importlib
import pkgutil

import pytest

from deis_bus import contracts
from deis_bus.contracts.certificates import CERTIFICATE_READ, CertificateRead
from deis_bus.errors import Refused
from deis_bus.rpc import Method
from deis_platform.metrics import Metrics
from deis_services.controller.served import served
from integration.controller_api.rig import Api

pytestmark = pytest.mark.server


def asked_of_the_controller() -> set[str]:
    """Subjects of every method in the contracts."""
    found: set[str] = set()
    for module in pkgutil.iter_modules(contracts.__path__):
        values = vars(importlib.import_module(f"{contracts.__name__}.{module.name}")).values()
        found |= {v.subject for v in values if isinstance(v, Method) and v.service == "controller"}
    return found


async def test_every_contract_is_kept(api: Api) -> None:
    answered = {method.subject for method in served(api.deps, Metrics("controller"))}
    assert asked_of_the_controller() <= answered


async def test_no_app_has_a_certificate_yet(api: Api) -> None:
    with pytest.raises(Refused) as caught:
        await api.ask(CERTIFICATE_READ, CertificateRead("00"))
    assert caught.value.code == 404


async def test_how_long_requests_take_is_a_metric(api: Api) -> None:
    metrics = Metrics("controller")
    served(api.deps, metrics)
    assert b'deis_controller_request_seconds_count{request="apps.list"}' in metrics.text()
