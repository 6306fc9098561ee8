"""From an answer to HTTP: status, body, and the headers that every response carries (api.md 1.5)."""

from collections.abc import Mapping

import msgspec
from aiohttp import web

from deis_bus.contracts.http import ApiAnswer

ALLOW = web.RequestKey("allow", str)
"""Methods that the request's path offers."""
API_VERSION = "2.3"
PLATFORM_VERSION = "2.3.0"
RETRY_SECONDS = "1"
_ALWAYS = {
    "DEIS_API_VERSION": API_VERSION,
    "DEIS_PLATFORM_VERSION": PLATFORM_VERSION,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "X-XSS-Protection": "1; mode=block",
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "DEIS_API_VERSION, DEIS_PLATFORM_VERSION, Location",
}
_ASKED = "content-type, accept, origin, Authorization, Host, Prefer, Idempotency-Key, Last-Event-ID"


class Problem(Exception):
    """A request that ends here: status and JSON body."""

    def __init__(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(status))
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


def problem(status: int, text: str, headers: Mapping[str, str] | None = None) -> Problem:
    """The usual body."""
    return Problem(status, {"detail": text}, headers)


def away(text: str = "The platform is not available right now, please try again.") -> Problem:
    """A dependency is away (DESIGN 9)."""
    return problem(503, text, {"Retry-After": RETRY_SECONDS})


def of_problem(fault: Problem) -> web.Response:
    """The response of a problem."""
    headers = fault.headers
    if fault.status == 401:
        headers = {"WWW-Authenticate": "Token"} | headers
    return web.Response(
        status=fault.status,
        body=msgspec.json.encode(fault.body),
        content_type="application/json",
        headers=headers,
    )


def of_answer(answer: ApiAnswer) -> web.Response:
    """The response of the controller's answer; an empty body has no content type."""
    headers = dict(answer.headers)
    if answer.status == 401:
        headers.setdefault("WWW-Authenticate", "Token")
    if answer.status == 503:
        headers.setdefault("Retry-After", RETRY_SECONDS)
    if answer.text is not None:
        return web.Response(
            status=answer.status, text=answer.text, content_type="text/plain", headers=headers
        )
    raw = bytes(answer.body)
    if not raw:
        return web.Response(status=answer.status, headers=headers)
    return web.Response(
        status=answer.status, body=raw, content_type="application/json", headers=headers
    )


async def finish(request: web.Request, response: web.StreamResponse) -> None:
    """`on_response_prepare`: the headers of every response."""
    response.headers.update(_ALWAYS)
    if isinstance(response, web.Response) and response.body is None:
        response.headers.popall("Content-Type", None)
    allow = request.get(ALLOW)
    if allow:
        response.headers["Allow"] = allow


def preflight(allow: str) -> web.Response:
    """What a browser asks before a request from another origin."""
    headers = {
        "Access-Control-Allow-Methods": allow,
        "Access-Control-Allow-Headers": _ASKED,
        "Access-Control-Max-Age": "86400",
        "Allow": allow,
    }
    return web.Response(status=204, headers=headers)
