"""An aiohttp application as all of our services have it: request ids, errors once, access log."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import ClientPayloadError, web

from deis_bus.clock import new_id
from deis_bus.errors import Refused, Transient
from deis_platform.logs import get_logger
from deis_platform.settings import Address

log = get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
REQUEST_ID = web.RequestKey("request_id", str)
STARTED = web.RequestKey("started", web.StreamResponse)
"""The answer whose headers have left: nothing else can be answered any more."""
REQUEST_ID_HEADER = "X-Request-Id"
MAX_BODY_BYTES = 2 * 1024 * 1024
RETRY_AFTER_SECONDS = 1
SHUTDOWN_SECONDS = 5.0
CLIENT_GONE = 499
"""As nginx says it: the client went away before it got an answer."""
SERVER = "deis"
"""Instead of the versions of Python and its libraries."""
PROBES = ("/healthz", "/readiness")
_KEPT = ("Allow", "WWW-Authenticate")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def application(
    *, max_body_bytes: int = MAX_BODY_BYTES, access_log: bool = True
) -> web.Application:
    """An application whose answers carry a request id and whose faults become JSON once.

    A handler may raise Refused (its code and detail), Transient (503 with Retry-After), or an
    aiohttp HTTPException; anything else is a bug: logged, and a 500 without details. Bodies
    past `max_body_bytes` get 413 when they are read.
    """
    layers = [_identify, *([_log_access] if access_log else []), _answer_faults]
    app = web.Application(middlewares=layers, client_max_size=max_body_bytes)
    app.on_response_prepare.append(_put_id)
    return app


@web.middleware
async def _identify(request: web.Request, handler: Handler) -> web.StreamResponse:
    given = request.headers.get(REQUEST_ID_HEADER, "")
    request[REQUEST_ID] = given if _ID.fullmatch(given) else new_id()
    return await handler(request)


async def _put_id(request: web.Request, response: web.StreamResponse) -> None:
    # On every answer, streams included: their headers leave before the handler returns.
    if REQUEST_ID in request:
        response.headers[REQUEST_ID_HEADER] = request[REQUEST_ID]
    response.headers["Server"] = SERVER
    request[STARTED] = response


@web.middleware
async def _log_access(request: web.Request, handler: Handler) -> web.StreamResponse:
    began = time.perf_counter()
    status = CLIENT_GONE
    try:
        response = await handler(request)
    except web.HTTPException as redirect:
        status = redirect.status
        raise
    else:
        status = response.status
        return response
    finally:
        # Probes ask every few seconds (api.md 22).
        tell = log.debug if request.path in PROBES else log.info
        tell(
            "request",
            method=request.method,
            path=request.path,  # without the query: it may hold secrets
            status=status,
            ms=round((time.perf_counter() - began) * 1000, 1),
            request_id=request[REQUEST_ID],
        )


@web.middleware
async def _answer_faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Exception as fault:  # noqa: BLE001 - the one place where a fault becomes an answer
        if STARTED in request:
            return _cut(request, fault)
        return _answer(request, fault)


def _answer(request: web.Request, fault: Exception) -> web.StreamResponse:
    match fault:
        case web.HTTPException() if fault.status < 400:
            raise fault
        case web.HTTPException():
            kept = {name: fault.headers[name] for name in _KEPT if name in fault.headers}
            return problem(fault.status, fault.reason, kept)
        case Refused():
            return problem(fault.code, fault.detail)
        case Transient():
            return problem(503, str(fault) or "a dependency is away")
        case ConnectionError() | ClientPayloadError():
            return problem(CLIENT_GONE, "The client is gone.")
        case _:
            _log_bug(request, fault)
            return problem(500, "Server Error")


def _cut(request: web.Request, fault: Exception) -> web.StreamResponse:
    """The answer has begun and cannot be finished: its end must not look like a good one."""
    if not isinstance(fault, (ConnectionError, TimeoutError, Transient)):
        _log_bug(request, fault)
    if request.transport is not None:
        request.transport.abort()
    return request[STARTED]


def _log_bug(request: web.Request, fault: Exception) -> None:
    request_id = request.get(REQUEST_ID)
    log.error("request failed", path=request.path, request_id=request_id, exc_info=fault)


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """A fault as JSON: `{"detail": …}`; 503 says when to come again."""
    sent = dict(headers or {})
    if status == 503:
        sent["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return web.json_response({"detail": detail}, status=status, headers=sent)


class WebServer:
    """A part that serves an application."""

    name: str

    def __init__(self, name: str, app: web.Application, address: Address) -> None:
        self.name = name
        self.serving = asyncio.Event()
        """Set once `address` is bound."""
        self.address = address
        """Where it listens; with port 0, the real one once it serves."""
        self._app = app

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until stopped, then finish what has begun (bounded). Raises OSError: port taken."""
        runner = web.AppRunner(
            self._app,
            access_log=None,
            shutdown_timeout=SHUTDOWN_SECONDS,
            handler_cancellation=True,
            auto_decompress=False,  # a few bytes must not become many before anybody looks
        )
        await runner.setup()
        try:
            site = web.TCPSite(runner, self.address.host, self.address.port)
            await site.start()
            port = runner.addresses[0][1]
            self.address = Address(self.address.host, port)
            self.serving.set()
            log.info("listening", part=self.name, address=str(self.address))
            await stop.wait()
        finally:
            await runner.cleanup()
