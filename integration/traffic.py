"""Requests that flow while something changes: kept connections, and every failure counted.

A request is repeated once, and only where the connection closed before any byte of the answer to
an idempotent request (RFC 9110 9.2.2, DESIGN 10); anything else that fails is a failure.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

ANSWER_SECONDS = 30.0
PAUSE_SECONDS = 0.002
"""Between two requests of a connection: the machine has other work too."""


class NoAnswer(Exception):
    """The connection closed before any byte of an answer came."""


class Connection:
    """One client that keeps its connection."""

    def __init__(self, address: str, port: int, host: str) -> None:
        self._address = address
        self._port = port
        self._request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def get(self) -> tuple[int, bytes]:
        """Status and body; tries a second time where that is allowed."""
        try:
            return await self._once()
        except NoAnswer:
            await self.close()
            return await self._once()

    async def close(self) -> None:
        """Close it; the next request opens another."""
        if self._writer is not None:
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()
        self._reader = self._writer = None

    async def _once(self) -> tuple[int, bytes]:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(self._address, self._port)
        try:
            self._writer.write(self._request)
            await self._writer.drain()
            first = await self._reader.readline()
        except OSError as fault:
            raise NoAnswer from fault
        if not first:
            raise NoAnswer
        return await self._rest(self._reader, first)

    async def _rest(self, reader: asyncio.StreamReader, first: bytes) -> tuple[int, bytes]:
        length, closing = 0, False
        while (line := await reader.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            if name.lower() == "content-length":
                length = int(value)
            closing |= name.lower() == "connection" and value.strip().lower() == "close"
        body = await reader.readexactly(length)
        if closing:
            await self.close()
        return int(first.split(b" ", 2)[1]), body


class Traffic:
    """What became of the requests so far."""

    def __init__(self) -> None:
        self.answered = 0
        self.failures: list[str] = []
        self.bodies: dict[bytes, int] = {}
        """How often each page was seen."""
        self._more = asyncio.Condition()

    async def some_more(self, count: int = 20) -> None:
        """Return once that many more requests are through."""
        wanted = self.answered + len(self.failures) + count
        async with asyncio.timeout(60), self._more:
            await self._more.wait_for(lambda: self.answered + len(self.failures) >= wanted)

    async def flow(self, address: str, port: int, host: str) -> None:
        """One connection's requests, one after the other, for ever."""
        connection = Connection(address, port, host)
        try:
            while True:
                await self._ask(connection)
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            await connection.close()

    async def _ask(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                status, body = await connection.get()
        except (OSError, ValueError, EOFError, NoAnswer, TimeoutError) as fault:
            self.failures.append(f"{type(fault).__name__}: {fault}")
            await connection.close()
        else:
            if status == 200:
                self.answered += 1
                self.bodies[body] = self.bodies.get(body, 0) + 1
            else:
                self.failures.append(f"{status}: {body[:200]!r}")
        async with self._more:
            self._more.notify_all()


@asynccontextmanager
async def traffic(
    port: int, host: str, connections: int = 4, address: str = "127.0.0.1"
) -> AsyncIterator[Traffic]:
    """Requests flow to a router while the context lasts."""
    seen = Traffic()
    async with asyncio.TaskGroup() as group:
        flows = [group.create_task(seen.flow(address, port, host)) for _ in range(connections)]
        try:
            await seen.some_more()
            yield seen
        finally:
            for flow in flows:
                flow.cancel()
