"""The API's HTTP side: every request goes through `Gateway.handle`, and through nothing else."""

import time
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from deis_bus.api.table import BY_NAME, Access, Kind
from deis_bus.contracts.http import NOTHING, ApiAnswer, ApiCall
from deis_bus.errors import Transient
from deis_bus.ports import Bus
from deis_platform.metrics import Metrics
from deis_platform.webapp import PROBES, STARTED, application
from deis_services.gateway.answers import (
    ALLOW,
    Problem,
    away,
    finish,
    of_answer,
    of_problem,
    preflight,
)
from deis_services.gateway.answers import problem as usual
from deis_services.gateway.bodies import body_of
from deis_services.gateway.calls import Calls
from deis_services.gateway.operations import Operations
from deis_services.gateway.parse import Found, Routes
from deis_services.gateway.rights import controller_ready
from deis_services.gateway.streams.build_output import build_output
from deis_services.gateway.streams.events import events
from deis_services.gateway.streams.logs import logs
from deis_services.gateway.streams.open_streams import Streams
from deis_services.gateway.streams.run import run
from deis_services.gateway.streams.run_socket import run_socket

Serve = Callable[[Streams, web.Request, ApiCall], Awaitable[web.StreamResponse]]
STREAMS: dict[str, Serve] = {
    "apps.logs": logs,
    "apps.run": run,
    "builds.output": build_output,
    "events.list": events,
}
"""Every endpoint of kind STREAM."""
ENDPOINT = web.RequestKey("endpoint", str)
_OPEN = (Access.ANYONE, Access.REGISTER)
HEALTH_ALLOW = "GET, HEAD, OPTIONS"


class Gateway:
    """HTTP in, one request on the bus out."""

    def __init__(
        self,
        bus: Bus,
        calls: Calls,
        operations: Operations,
        streams: Streams,
        metrics: Metrics,
        body_limit: int,
    ) -> None:
        self._bus = bus
        self._calls = calls
        self._operations = operations
        self._streams = streams
        self._body_limit = body_limit
        self._routes = Routes()
        self._seconds = metrics.seconds(
            "request_seconds", "from a request to its answer", ("endpoint", "status")
        )

    def app(self) -> web.Application:
        """The aiohttp application."""
        app = application(max_body_bytes=self._body_limit)
        app.on_response_prepare.append(finish)
        app.router.add_route("*", "/{path:.*}", self.handle)
        return app

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request; what is no answer of ours becomes one in `deis_platform.webapp`."""
        began = time.perf_counter()
        try:
            response = await self._handle(request)
        except Problem as fault:
            if STARTED in request:
                raise
            response = of_problem(fault)
        except Transient:
            if STARTED in request:
                raise
            response = of_problem(away())
        seconds = time.perf_counter() - began
        self._seconds.labels(request.get(ENDPOINT, ""), response.status).observe(seconds)
        return response

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.path in PROBES:
            return await self._health(request)
        socket = request.headers.get("Upgrade", "").lower() == "websocket"
        found = self._find(request, socket=socket)
        if isinstance(found, web.Response):
            return found
        request[ALLOW] = found.allow
        request[ENDPOINT] = found.endpoint.name
        if socket:
            return await run_socket(self._streams, request, self._calls.make(request, found))
        call = self._calls.make(request, found, await self._body(request, found))
        if found.endpoint.kind is Kind.STREAM:
            return await STREAMS[found.endpoint.name](self._streams, request, call)
        answer = await self._calls.ask(call)
        if answer.operation:
            return await self._operation(answer, call)
        return of_answer(answer)

    def _find(self, request: web.Request, *, socket: bool) -> Found | web.Response:
        # A WebSocket can only be asked for with GET; what it runs is the POST.
        method = "POST" if socket else request.method
        found = self._routes.find(method, request.path)
        if socket and not (isinstance(found, Found) and found.endpoint is BY_NAME["apps.run"]):
            raise usual(400, "There is no WebSocket here.")
        if found is None:
            raise usual(404, "Not found.")
        if isinstance(found, Found):
            return found
        if request.method == "OPTIONS":
            return preflight(found)
        raise usual(405, f'Method "{request.method}" not allowed.', {"Allow": found})

    async def _body(self, request: web.Request, found: Found) -> msgspec.Raw:
        if request.method in ("GET", "HEAD"):
            return NOTHING
        try:
            return await body_of(request)
        except Problem as fault:
            # Who is nobody is told so before anything about what they sent.
            headers = request.headers
            known = "Authorization" in headers or "X-Deis-Builder-Auth" in headers
            if fault.status == 413 or known or found.endpoint.access in _OPEN:
                raise
            raise usual(401, "Authentication credentials were not provided.") from fault

    async def _operation(self, answer: ApiAnswer, call: ApiCall) -> web.StreamResponse:
        operation = answer.operation
        if not call.respond_async:
            return of_answer(await self._operations.outcome(operation))
        where = f"/v2/operations/{operation}"
        state = await self._operations.state(operation)
        body = {"operation": operation, "state": state, "url": where}
        return web.Response(
            status=202,
            body=msgspec.json.encode(body),
            content_type="application/json",
            headers={"Location": where, "Preference-Applied": "respond-async"},
        )

    async def _health(self, request: web.Request) -> web.Response:
        request[ALLOW] = HEALTH_ALLOW
        if request.method == "OPTIONS":
            return preflight(HEALTH_ALLOW)
        if request.method not in ("GET", "HEAD"):
            raise usual(405, f'Method "{request.method}" not allowed.')
        if request.path == "/readiness" and not await controller_ready(self._bus):
            raise away("The controller or its database does not answer.")
        return web.Response(text="OK", content_type="text/html")
