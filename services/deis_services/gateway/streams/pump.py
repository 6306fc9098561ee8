"""Reading ahead of a slow client, bounded."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Generic, TypeVar

T = TypeVar("T")
QUEUED = 64


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
            async with asyncio.timeout(seconds):
                item = await self._queue.get()
        except TimeoutError:
            return None
        if isinstance(item, BaseException):
            raise item
        return item

    async def close(self) -> None:
        """Stop reading."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
