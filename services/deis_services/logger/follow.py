"""Those who follow logs: each has a bounded queue, so a slow reader costs lines and not memory."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from deis_bus.contracts.logs import Follow
from deis_bus.errors import BusError, StreamClosed, Transient
from deis_bus.ports import ByteStream
from deis_platform.loglines import platform_text
from deis_platform.logs import get_logger
from deis_services.logger.parse import Wanted, wanted
from deis_services.logger.ring import Rings

log = get_logger(__name__)

WAITING_LINES = 1000
WAITING_BYTES = 1024 * 1024
CHUNK_BYTES = 64 * 1024
STOPPED = "the logger stops"

Open = Callable[[str, str], Awaitable[ByteStream]]


class Reader:
    """Lines on their way to one follower; the oldest are lost when it does not keep up."""

    def __init__(self, appuuid: str, only: Wanted) -> None:
        self.appuuid = appuuid
        self.lost = 0
        """Lines dropped and not yet told of."""
        self.ended = False
        self._only = only
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._some = asyncio.Event()

    def give(self, lines: Iterable[bytes]) -> int:
        """Queue what is wanted of these; gives how many were lost for it."""
        before = self.lost
        for line in filter(self._only.takes, lines):
            self._lines.append(line)
            self._size += len(line)
            while len(self._lines) > WAITING_LINES or self._size > WAITING_BYTES:
                self._size -= len(self._lines.popleft())
                self.lost += 1
        if self._lines:
            self._some.set()
        return self.lost - before

    def end(self) -> None:
        """Nothing comes any more: the application is gone."""
        self.ended = True
        self._some.set()

    async def chunk(self) -> bytes:
        """The next lines as text; waits for some. Empty once it has ended."""
        while not self._lines and not self.ended:
            self._some.clear()
            await self._some.wait()
        if self.ended:
            return b""
        taken: list[bytes] = []
        if self.lost:
            said = f"{self.lost} lines are not shown: they came faster than they were read"
            taken.append(platform_text("logger", "WARNING", said).encode())
            self.lost = 0
        size = 0
        while self._lines and size < CHUNK_BYTES:
            line = self._lines.popleft()
            size += len(line)
            taken.append(line)
        self._size -= size
        return b"\n".join(taken) + b"\n"


class Followers:
    """A part: one task per follower, all ended with it."""

    name = "followers"

    def __init__(self, rings: Rings, open_stream: Open, limit: int) -> None:
        self.lost = 0
        """Lines that slow followers did not get, so far."""
        self._rings = rings
        self._open = open_stream
        self._limit = limit
        self._readers: dict[str, set[Reader]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    async def follow(self, question: Follow) -> None:
        """Open our end and go on by itself. Raises Transient when there are too many."""
        if len(self._tasks) >= self._limit:
            raise Transient("too many logs are followed, please try again later")
        stream = await self._open(question.stream, "acceptor")
        only = wanted(question.process_type, question.instance)
        reader = Reader(question.appuuid, only)
        # No line comes between the two: nothing is shown twice and nothing left out.
        reader.give(self._rings.tail(question.appuuid, question.lines, only))
        self._readers.setdefault(question.appuuid, set()).add(reader)
        task = asyncio.create_task(self._serve(stream, reader), name=f"follow {stream.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def take(self, appuuid: str, lines: list[bytes]) -> None:
        """New lines of an application."""
        for reader in self._readers.get(appuuid, ()):
            self.lost += reader.give(lines)

    def end(self, appuuid: str) -> None:
        """The application is gone: so are its followers."""
        for reader in self._readers.get(appuuid, ()):
            reader.end()

    async def run(self, stop: asyncio.Event) -> None:
        """Wait for the end, then tell every follower."""
        await stop.wait()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, stream: ByteStream, reader: Reader) -> None:
        leaving = asyncio.create_task(_left(stream), name=f"follower {stream.id}")
        sending = asyncio.create_task(_send(stream, reader), name=f"follow {stream.id} lines")
        try:
            await asyncio.wait({leaving, sending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._leave(reader)
            for task in (leaving, sending):
                task.cancel()
            await asyncio.gather(leaving, sending, return_exceptions=True)
            with contextlib.suppress(BusError):
                await stream.cancel(STOPPED)
                await stream.close()

    def _leave(self, reader: Reader) -> None:
        others = self._readers[reader.appuuid]
        others.discard(reader)
        if not others:
            del self._readers[reader.appuuid]


async def _send(stream: ByteStream, reader: Reader) -> None:
    """Send lines until the reader has ended or the other end is gone."""
    try:
        while text := await reader.chunk():
            await stream.send(text)
        await stream.exit(0)
    except StreamClosed as fault:
        log.debug("follower is gone", stream=stream.id, fault=str(fault))


async def _left(stream: ByteStream) -> None:
    """Return when the other end has finished or is gone."""
    with contextlib.suppress(BusError):
        async for _ in stream.frames():
            continue
