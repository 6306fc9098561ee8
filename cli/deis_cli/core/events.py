"""What happened and what happens, from a cursor on (DESIGN 5)."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec

from deis_cli.core.client import Api
from deis_cli.core.follow import Note
from deis_cli.core.sse import events as sent_events
from deis_cli.errors import AWAY, CliError, Lost, explain

PATIENCE_SECONDS = 60.0
"""How long a list that breaks off is asked for again without anything new."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An event as the platform tells it."""

    id: str
    type: str
    time: str
    source: str = ""
    app: str = ""
    actor: str = ""
    cursor: str = ""
    data: dict[str, Any] = {}


class _Gone(msgspec.Struct, frozen=True):
    cursor: str = ""


async def events(
    api: Api, *, since: str = "", kind: str = "", app: str = "", follow: bool, note: Note
) -> AsyncIterator[Told]:
    """Events behind the cursor; with `follow` for ever, through broken connections.

    Raises CliError where the cursor is too old, naming the oldest that there is, and, without
    `follow`, Lost or aiohttp.ClientError where the platform stays away.
    """
    last, pause = since, 0.2
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        query = {
            "since": last or None,
            "type": kind or None,
            "app": app or None,
            "follow": str(follow).lower(),
        }
        try:
            async with api.open("GET", "/v2/events", query=query) as answer:
                await _refuse(answer)
                async for sent in sent_events(answer.content):
                    if sent is None or not sent.data:
                        continue
                    last = sent.id or last
                    pause = 0.2
                    deadline = time.monotonic() + PATIENCE_SECONDS
                    yield msgspec.json.decode(sent.data, type=Told)
            if not follow:
                return
        except (Lost, aiohttp.ClientError) as fault:
            nobody = isinstance(fault, Lost) and not fault.sent
            if not follow and (nobody or time.monotonic() > deadline):
                raise
            note(f"{fault}; connecting again")
        await asyncio.sleep(pause)
        pause = min(pause * 2, 5.0)


async def _refuse(answer: aiohttp.ClientResponse) -> None:
    if answer.status < 400:
        return
    raw = await answer.read()
    if answer.status in AWAY:
        raise Lost("the platform is away for the moment", sent=True)
    if answer.status == 410:
        try:
            oldest = msgspec.json.decode(raw, type=_Gone).cursor
        except msgspec.MsgspecError:
            oldest = ""
        raise CliError(
            f"The platform no longer has events since then; the oldest: --since {oldest}"
        )
    if answer.status == 404 and b"detail" not in raw and b"No App" not in raw:
        raise CliError("This controller has no events")
    raise explain(answer.status, raw)
