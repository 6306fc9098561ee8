"""Server-sent events, as the HTML standard frames them: id, event, data."""

from collections.abc import AsyncIterator

import aiohttp
import msgspec

MAX_EVENT_BYTES = 1024 * 1024


class Sent(msgspec.Struct, frozen=True):
    """One event as it came."""

    id: str
    kind: str
    data: str


async def events(body: aiohttp.StreamReader) -> AsyncIterator[Sent | None]:
    """Events of an answer's body; None for a comment, which only says that the line is alive."""
    fields: dict[str, str] = {}
    async for raw in _lines(body):
        if not raw:
            if fields:
                yield Sent(fields.get("id", ""), fields.get("event", ""), fields.get("data", ""))
            fields = {}
        elif raw.startswith(":"):
            yield None
        else:
            name, _, value = raw.partition(":")
            value = value.removeprefix(" ")
            again = name == "data" and name in fields
            fields[name] = f"{fields[name]}\n{value}" if again else value


async def _lines(body: aiohttp.StreamReader) -> AsyncIterator[str]:
    kept = b""
    async for piece in body.iter_any():
        *lines, kept = (kept + piece).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r").decode(errors="replace")
        if len(kept) > MAX_EVENT_BYTES:
            raise ValueError("an event without an end")
