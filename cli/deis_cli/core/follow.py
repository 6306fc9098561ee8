"""Deploy-class calls: submitted, then followed until they end (cli.md 13.1.3).

Against our gateway they are accepted with 202 and an operation, whose outcome is followed
through broken connections; an original controller ignores the wish and answers when done.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp

from deis_cli.core import models
from deis_cli.core.client import Api, Reply, part
from deis_cli.core.sse import events
from deis_cli.errors import AWAY, ApiError, CliError, Lost, explain

Note = Callable[[str], None]
READ_AGAIN_SECONDS = 2.0
"""A wake-up may be lost with its connection; the operation itself is the truth."""
RESUBMIT_SECONDS = 60.0
"""How long a request whose answer was lost is sent again, under the same key."""
_ENDED = ("succeeded", "failed")


async def deploy(
    api: Api, method: str, path: str, body: Any = None, *, app: str, note: Note
) -> Reply:
    """Submit a change and wait for its end; raises ApiError with what the platform said."""
    headers = {"Prefer": "respond-async", "Idempotency-Key": str(uuid.uuid4())}
    try:
        reply = await _submit(api, method, path, body, headers, note)
        if reply.status != 202:
            return reply
        return await _outcome(api, reply.decode(models.Pending).operation, app, note)
    except asyncio.CancelledError:
        note(f"The platform goes on with it; see `deis releases -a {app}`.")
        raise


async def _submit(
    api: Api, method: str, path: str, body: Any, headers: dict[str, str], note: Note
) -> Reply:
    deadline = time.monotonic() + RESUBMIT_SECONDS
    arrived = False  # perhaps
    pauses = _pauses()
    while True:
        try:
            return await api.send(method, path, body, headers=headers)
        except (Lost, ApiError) as fault:
            arrived = arrived or _may_have_arrived(fault)
            refused = isinstance(fault, ApiError) and fault.status not in AWAY
            late = time.monotonic() > deadline
            if refused or not arrived or late or not await _repeatable(api, deadline):
                raise
            note(f"{fault}; sending it again")
        await asyncio.sleep(next(pauses))


def _may_have_arrived(fault: Lost | ApiError) -> bool:
    return fault.sent if isinstance(fault, Lost) else fault.status in AWAY


async def _repeatable(api: Api, deadline: float) -> bool:
    """Only our gateway keeps the answer to an idempotency key: elsewhere a repeat may double."""
    pauses = _pauses()
    while True:
        try:
            return await api.ours()
        except Lost:
            if time.monotonic() > deadline:
                return False
        await asyncio.sleep(next(pauses))


def _pauses() -> Iterator[float]:
    """Seconds: 0.2, doubled up to 5, without end."""
    pause = 0.2
    while True:
        yield pause
        pause = min(pause * 2, 5.0)


async def _outcome(api: Api, operation: str, app: str, note: Note) -> Reply:
    woken = asyncio.Event()
    waker = asyncio.create_task(_wake(api, operation, app, woken))
    pauses = _pauses()
    try:
        while True:
            woken.clear()  # before the look: what is told meanwhile may be newer than its answer
            try:
                found = await _read(api, operation)
            except Lost as fault:
                note(f"{fault}; the deploy goes on, asking again")
                await asyncio.sleep(next(pauses))
                continue
            if found.state in _ENDED:
                return _answer(found)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5 if waker.done() else READ_AGAIN_SECONDS):
                    await woken.wait()
    finally:
        waker.cancel()
        await asyncio.gather(waker, return_exceptions=True)


async def _read(api: Api, operation: str) -> models.Operation:
    reply = await api.ask("GET", f"/v2/operations/{part(operation)}")
    if reply.status in AWAY:
        raise Lost("the platform is away for the moment", sent=True)
    if reply.status >= 400:
        raise explain(reply.status, reply.raw)
    return reply.decode(models.Operation)


async def _wake(api: Api, operation: str, app: str, woken: asyncio.Event) -> None:
    """Set `woken` when the operation's end is told; the reader looks by itself without us."""
    query = {"app": app, "type": "operation.done"}
    with contextlib.suppress(CliError, aiohttp.ClientError, ValueError, OSError):
        async with api.open("GET", "/v2/events", query=query) as answer:
            if answer.status != 200:
                return
            woken.set()
            async for sent in events(answer.content):
                if sent is not None and operation in sent.data:
                    woken.set()


def _answer(found: models.Operation) -> Reply:
    raw = bytes(found.answer)
    raw = b"" if raw == b"null" else raw
    status = found.status or (200 if found.state == "succeeded" else 500)
    if status >= 400 or found.state == "failed":
        raise _failed(status, raw)
    return Reply(status, {}, raw)


def _failed(status: int, raw: bytes) -> ApiError:
    return explain(status if status >= 400 else 500, raw)
