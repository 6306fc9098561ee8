"""The API's HTTP side: every request goes through `Gateway.handle`, and through nothing else."""

from collections.abc import Awaitable, Callable

import msgspec
import structlog
from aiohttp import web

from deis_bus.api.table import BY_NAME, Access, Kind
from deis_bus.contracts.http import NOTHING, ApiAnswer, ApiCall
from deis_bus.errors import Transient
from deis_bus.ports import Bus
from deis_services.gateway.answers import Problem, away, finish, of_answer, of_problem, preflight
from deis_services.gateway.answers import problem as usual
from deis_services.gateway.bodies import body_of
from deis_services.gateway.calls import Calls
from deis_services.gateway.operations import Operations
from deis_services.gateway.parse import Found, Routes
from deis_services.gateway.rights import controller_ready
from deis_services.gateway.streams.base import Streams
from deis_services.gateway.streams.build_output import build_output
from deis_services.gateway.streams.events import events
from deis_services.gateway.streams.logs import logs
from deis_services.gateway.streams.run import run
from deis_services.gateway.streams.run_socket import run_socket

log = structlog.get_logger(__name__)
Serve = Callable[[Streams, web.Request, ApiCall], Awaitable[web.StreamResponse]]
STREAMS: dict[str, Serve] = {
    "apps.logs": logs,
    "apps.run": run,
    "builds.output": build_output,
    "events.list": events,
}
"""Every endpoint of kind STREAM."""
_OPEN = (Access.ANYONE, Access.REGISTER)
_HEALTH = ("/healthz", "/readiness")
HEALTH_ALLOW = "GET, HEAD, OPTIONS"


class Gateway:
    """HTTP in, one request on the bus out."""

    def __init__(
        self, bus: Bus, calls: Calls, operations: Operations, streams: Streams, body_limit: int
    ) -> None:
        self._bus = bus
        self._calls = calls
        self._operations = operations
        self._streams = streams
        self._body_limit = body_limit
        self._routes = Routes()

    def app(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=self._body_limit)
        app.on_response_prepare.append(finish)
        app.router.add_route("*", "/{path:.*}", self.handle)
        return app

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request. The one place where a fault becomes an HTTP answer."""
        try:
            return await self._handle(request)
        except Problem as fault:
            return of_problem(fault)
        except Transient:
            return of_problem(away())
        except (ConnectionResetError, TimeoutError):
            # The client is gone, or takes nothing any more: nobody reads what we would say.
            raise
        except Exception:
            log.exception("a request broke", method=request.method, path=request.path)
            return of_problem(usual(500, "Server Error"))

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.path in _HEALTH:
            return await self._health(request)
        socket = request.headers.get("Upgrade", "").lower() == "websocket"
        found = self._find(request, socket=socket)
        if isinstance(found, web.Response):
            return found
        request["allow"] = found.allow
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
        request["allow"] = HEALTH_ALLOW
        if request.method == "OPTIONS":
            return preflight(HEALTH_ALLOW)
        if request.method not in ("GET", "HEAD"):
            raise usual(405, f'Method "{request.method}" not allowed.')
        if request.path == "/readiness" and not await controller_ready(self._bus):
            raise away("The controller or its database does not answer.")
        return web.Response(text="OK", content_type="text/html")
