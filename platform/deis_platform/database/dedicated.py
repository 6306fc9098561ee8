"""A connection of its own, whose loss is noticed: for advisory locks and LISTEN."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import asyncpg

from deis_bus.errors import Transient
from deis_platform.database.faults import FAULTS, at_connect, mapped

T = TypeVar("T")
PING_SECONDS = 2.0
PING_LIMIT_SECONDS = 4.0
CLOSE_SECONDS = 1.0


class Dedicated:
    """Made by `Database.dedicated`. Locks taken here end with the connection.

    The server gives up a statement after `seconds` (0: no limit); one that it does not even give
    up ends the connection.
    """

    def __init__(self, connection: Any, seconds: float) -> None:
        self.lost = asyncio.Event()
        """Set when the connection is gone, hung servers included (some 6 s later)."""
        self._connection = connection
        self._limit = seconds + PING_LIMIT_SECONDS if seconds else None
        self._one = asyncio.Lock()
        connection.add_termination_listener(lambda _connection: self.lost.set())

    async def fetch(self, query: str, *args: object) -> list[Any]:
        """All rows. Raises Transient or Conflict, as every call here."""
        return await self._do(lambda: self._connection.fetch(query, *args))

    async def fetchval(self, query: str, *args: object) -> Any:
        """The first column of the first row, or None."""
        return await self._do(lambda: self._connection.fetchval(query, *args))

    async def execute(self, query: str, *args: object) -> None:
        """A statement, or several without arguments (then all or nothing)."""
        await self._do(lambda: self._connection.execute(query, *args))

    async def try_lock(self, name: str) -> bool:
        """Take the advisory lock of that name for as long as the connection lasts, if it is free."""
        query = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"
        return bool(await self.fetchval(query, name))

    async def listen(self, channel: str, heard: Callable[[str], None]) -> None:
        """Call `heard` with its payload at every NOTIFY on the channel."""

        def on_notify(_connection: Any, _pid: int, _channel: str, payload: str) -> None:
            heard(payload)

        await self._do(lambda: self._connection.add_listener(channel, on_notify))

    async def keep_alive(self) -> None:
        """Ask now and then whether the server still answers; cut the connection when not."""
        while True:
            try:
                async with asyncio.timeout(PING_SECONDS):
                    await self.lost.wait()
            except TimeoutError:
                pass
            else:
                return
            async with self._one:
                timer = asyncio.get_running_loop().call_later(
                    PING_LIMIT_SECONDS, self._connection.terminate
                )
                try:
                    await self._connection.execute("SELECT 1")
                except FAULTS:
                    self._connection.terminate()
                finally:
                    timer.cancel()

    async def _do(self, call: Callable[[], Awaitable[T]]) -> T:
        async with self._one:
            try:
                async with asyncio.timeout(self._limit):
                    return await call()
            except FAULTS as fault:
                instead = mapped(fault, closed=self._connection.is_closed())
                if isinstance(instead, Transient) and isinstance(fault, TimeoutError):
                    self._connection.terminate()
                if instead is fault:
                    raise
                raise instead from None


@asynccontextmanager
async def dedicated(options: Mapping[str, Any], seconds: float) -> AsyncIterator[Dedicated]:
    """Connect; raises Transient when that is not possible."""
    try:
        connection = await asyncpg.connect(**options)
    except FAULTS as fault:
        instead = at_connect(fault)
        if instead is fault:
            raise
        raise instead from None
    line = Dedicated(connection, seconds)
    alive = asyncio.create_task(line.keep_alive(), name="database keep-alive")
    try:
        yield line
    finally:
        alive.cancel()
        try:
            await asyncio.wait({alive})
            with suppress(*FAULTS):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await connection.close()
        finally:
            connection.terminate()  # nothing where it is closed by now
