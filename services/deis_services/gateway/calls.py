"""One HTTP request as one request on the bus (DESIGN 4, Requests)."""

import re

import msgspec
from aiohttp import web

from deis_bus import rpc
from deis_bus.api.table import ENDPOINTS
from deis_bus.clock import new_id, new_trace
from deis_bus.contracts.http import NOTHING, ApiAnswer, ApiCall, method
from deis_bus.errors import Refused, Transient
from deis_bus.ports import Bus
from deis_services.gateway.answers import away, problem
from deis_services.gateway.bodies import as_utf8
from deis_services.gateway.credentials import Credentials, client_address
from deis_services.gateway.detached import Detached
from deis_services.gateway.parse import Found

_METHODS = {endpoint.name: method(endpoint.name) for endpoint in ENDPOINTS}
_TRACE = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
MAX_KEY = 200


class Calls:
    """Makes and sends them."""

    def __init__(self, bus: Bus, credentials: Credentials, seconds: float) -> None:
        self._bus = bus
        self._credentials = credentials
        self._seconds = seconds
        self._detached = Detached()

    def make(self, request: web.Request, found: Found, body: msgspec.Raw = NOTHING) -> ApiCall:
        """The call of a request. Raises Problem 400 for a header that cannot be one."""
        headers = request.headers
        secure = headers.get("X-Forwarded-Proto", request.scheme) == "https"
        trace = headers.get("traceparent", "")
        return ApiCall(
            endpoint=found.endpoint.name,
            path=found.path,
            query={as_utf8(name): as_utf8(value) for name, value in request.query.items()},
            body=body,
            token=self._credentials.token(headers),
            builder=self._credentials.builder(headers),
            url=f"{'https' if secure else 'http'}://{as_utf8(request.host)}{request.rel_url.raw_path}",
            address=client_address(request.remote or "", headers.get("X-Forwarded-For", "")),
            request_id=new_id(),
            idempotency_key=_key(headers.get("Idempotency-Key", "")),
            respond_async=prefers_async(headers.get("Prefer", "")),
            traceparent=trace if _TRACE.fullmatch(trace) else new_trace(),
        )

    async def ask(self, call: ApiCall) -> ApiAnswer:
        """The controller's answer, refusals included. Raises Problem 503 when there is none.

        What was sent goes on when the client goes away: it may have changed something.
        """
        return await self._detached.run(self._ask(call))

    async def _ask(self, call: ApiCall) -> ApiAnswer:
        try:
            return await rpc.call(
                self._bus,
                _METHODS[call.endpoint],
                call,
                seconds=self._seconds,
                request_id=call.request_id,
                traceparent=call.traceparent,
            )
        except Refused as fault:
            if fault.kind == "late":
                raise away() from fault
            body = msgspec.json.encode({"detail": fault.detail})
            return ApiAnswer(status=fault.code, body=msgspec.Raw(body))
        except Transient as fault:
            raise away() from fault


def _key(text: str) -> str:
    if len(text) > MAX_KEY or not (text.isascii() and text.isprintable()):
        raise problem(400, f"Idempotency-Key has at most {MAX_KEY} characters, all of ASCII.")
    return text


def prefers_async(prefer: str) -> bool:
    """Whether `Prefer` holds `respond-async` (RFC 7240)."""
    return any(part.split(";")[0].strip().lower() == "respond-async" for part in prefer.split(","))
