"""Queueing an operation of the path's application."""

from deis_bus.contracts.http import ApiAnswer
from deis_services.controller import operations
from deis_services.controller.request import Request


async def submit(request: Request, kind: str, given: dict[str, object]) -> ApiAnswer:
    """Queue it and wake the reconciler after the commit."""
    request.changed(request.app)
    return await operations.submit(
        request.tx,
        request.deps,
        app=request.app,
        kind=kind,
        input=given,
        user=request.user,
        call=request.call,
    )
