"""A request's body as JSON that parses, whatever it was sent as (api.md 1.3)."""

import asyncio

import msgspec
from aiohttp import web

from deis_bus.contracts.http import NOTHING
from deis_services.gateway.answers import Problem, problem

MAX_DEPTH = 64
READ_SECONDS = 60.0
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def as_utf8(raw: str) -> str:
    """A text of a header or a path: bytes that are no UTF-8 come as surrogates, which no JSON can
    hold."""
    return raw.encode(errors="replace").decode()


async def body_of(request: web.Request) -> msgspec.Raw:
    """The body; NOTHING for an empty one. Raises Problem 400, 408, 413 or 415."""
    if not request.can_read_body:
        return NOTHING
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise problem(415, f'Unsupported content encoding "{as_utf8(encoding)}" in request.')
    try:
        async with asyncio.timeout(READ_SECONDS):
            return await _read(request)
    except TimeoutError as fault:
        raise problem(408, "The rest of the body did not come.") from fault


async def _read(request: web.Request) -> msgspec.Raw:
    try:
        if request.content_type in _FORMS:
            return msgspec.Raw(msgspec.json.encode(await _form(request)))
        raw = (await request.read()).strip()
    except web.HTTPRequestEntityTooLarge as fault:
        raise problem(413, "The body of the request is too large.") from fault
    if not raw:
        return NOTHING
    if request.content_type != "application/json":
        kind = as_utf8(request.headers.get("Content-Type", ""))
        raise problem(415, f'Unsupported media type "{kind}" in request.')
    _check(raw)
    return msgspec.Raw(raw)


async def _form(request: web.Request) -> dict[str, str]:
    try:
        fields = await request.post()
        return {as_utf8(name): _text(value) for name, value in fields.items()}
    except (ValueError, LookupError, AssertionError, RuntimeError) as fault:
        raise problem(400, f"Form parse error - {fault}") from fault


def _text(value: object) -> str:
    if isinstance(value, web.FileField):
        return value.file.read().decode()
    return str(value)


def _check(raw: bytes) -> None:
    try:
        decoded = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as fault:
        raise problem(400, f"JSON parse error - {fault}") from fault
    if not isinstance(decoded, dict):
        text = f"Invalid data. Expected a dictionary, but got {type(decoded).__name__}."
        raise Problem(400, {"non_field_errors": [text]})
    level: list[object] = [decoded]
    for _ in range(MAX_DEPTH):
        level = [
            value
            for holder in level
            for value in (
                holder.values()
                if isinstance(holder, dict)
                else holder
                if isinstance(holder, list)
                else ()
            )
        ]
        if not level:
            return
    raise problem(400, "JSON parse error - nested too deeply")
