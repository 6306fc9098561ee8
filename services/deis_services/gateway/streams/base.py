"""What the streams share: the gateway's parts, one sender that waits for slow clients, races."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Iterator
from typing import Any, Generic, TypeVar

from aiohttp import web

from deis_bus.contracts.http import ApiCall
from deis_bus.ports import Bus
from deis_services.gateway.answers import away
from deis_services.gateway.calls import Calls
from deis_services.gateway.detached import Detached
from deis_services.gateway.rights import Rights

T = TypeVar("T")
SEND_SECONDS = 60.0
"""A client that takes nothing for this long is given up."""
QUEUED = 64
SHARE = 4
"""Nobody may have more than this part of all streams, so that others find room."""


class Cut(ConnectionError):
    """The stream ends before what it shows does: a client must not take that for the end.

    It comes again, and is told then why it may not.
    """


class Streams:
    """The parts that a stream works with, and the limit of open ones; a part: ends them at stop."""

    name = "streams"

    def __init__(self, bus: Bus, calls: Calls, rights: Rights, limit: int) -> None:
        self.bus = bus
        self.calls = calls
        self.rights = rights
        self.detached = Detached()
        self.limit = limit
        self.open = 0
        """How many are open now."""
        self._held: Counter[str] = Counter()
        """Of them, by token."""
        self._ending = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Wait to be stopped; open streams then end at once, and a client comes again."""
        await stop.wait()
        self._ending.set()

    @contextlib.contextmanager
    def room(self, call: ApiCall) -> Iterator[None]:
        """A place for a stream; raises Problem 503 when all are taken, or the caller's share is."""
        share = max(1, self.limit // SHARE)
        if self.open >= self.limit or self._held[call.token] >= share:
            raise away("Too many streams are open, please try again later.")
        self.open += 1
        self._held[call.token] += 1
        try:
            yield
        finally:
            self.open -= 1
            self._held[call.token] -= 1
            self._held += Counter()  # keeps who still has some

    async def stopping(self) -> None:
        """Return when the gateway stops."""
        await self._ending.wait()

    async def revoked(self, call: ApiCall, app: str = "", appuuid: str = "") -> None:
        """Return when the caller may no longer do this."""
        await self.rights.until_revoked(call.token, call.endpoint, app, appuuid)

    async def whole(self, work: Awaitable[None], revoked: Awaitable[None]) -> None:
        """Do the work to its end; raises Cut when the right or the gateway ends before it."""
        if await first(work, revoked, self.stopping()):
            raise Cut("the right was revoked, or the gateway stops")


class Sender:
    """A chunked answer."""

    def __init__(self, request: web.Request, kind: str, **headers: str) -> None:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        self._request = request
        self._response = web.StreamResponse(
            headers={"Content-Type": kind, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
            | given
        )

    async def open(self) -> None:
        """Send the headers."""
        await self._response.prepare(self._request)

    async def send(self, data: bytes) -> None:
        """Send bytes; raises TimeoutError or ConnectionResetError for a client that is gone."""
        async with asyncio.timeout(SEND_SECONDS):
            await self._response.write(data)

    async def close(self) -> web.StreamResponse:
        """The end of the answer."""
        await self._response.write_eof()
        return self._response


class Pump(Generic[T]):
    """An endless iterator read ahead into a bounded queue, so that a wait can have a limit."""

    def __init__(self, source: AsyncGenerator[T, None]) -> None:
        self._queue: asyncio.Queue[T | BaseException] = asyncio.Queue(QUEUED)
        self._task = asyncio.create_task(self._read(source))

    async def _read(self, source: AsyncGenerator[T, None]) -> None:
        try:
            async with contextlib.aclosing(source) as items:
                async for item in items:
                    await self._queue.put(item)
        except Exception as fault:  # noqa: BLE001 - carried over to the reader, who raises it
            await self._queue.put(fault)
        else:
            await self._queue.put(StopAsyncIteration())

    async def next(self, seconds: float) -> T | None:
        """The next item; None when none came in that time. Raises what the source raised."""
        try:
            item = await asyncio.wait_for(self._queue.get(), seconds)
        except TimeoutError:
            return None
        if isinstance(item, BaseException):
            raise item
        return item

    async def close(self) -> None:
        """Stop reading."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def first(*works: Awaitable[Any]) -> int:
    """Run them together until one ends; gives its place and raises what it raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for place, task in enumerate(tasks):
            if task in done:
                task.result()
                return place
        raise RuntimeError("asyncio.wait gave nothing")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
