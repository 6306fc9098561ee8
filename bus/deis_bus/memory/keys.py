"""A key-value bucket in memory."""

import asyncio
from collections.abc import AsyncGenerator

from deis_bus.errors import Unavailable
from deis_bus.ports import Entry
from deis_bus.streams import Bucket


class MemoryBucket:
    """Values and who watches them."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.revision = 0
        self.entries: dict[str, Entry] = {}
        self.watchers: set[asyncio.Queue[Entry]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def write(self, key: str, data: bytes | None) -> int:
        """Put, or remove where `data` is None; gives the revision."""
        self.revision += 1
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        entry = Entry(key, data, self.revision)
        if data is None:
            self.entries.pop(key, None)
        else:
            self.entries.pop(key, None)
            self.entries[key] = entry
            if self.bucket.ttl_seconds:
                loop = asyncio.get_running_loop()
                self._timers[key] = loop.call_later(self.bucket.ttl_seconds, self.write, key, None)
        for watcher in self.watchers:
            watcher.put_nowait(entry)
        return self.revision


class Switch:
    """Whether the broker is there, shared by all that stand on it."""

    def __init__(self) -> None:
        self.up = True

    def check(self) -> None:
        """Raises Unavailable while it is away."""
        if not self.up:
            raise Unavailable("the bus is not connected")


class MemoryKeys:
    """The port on a bucket."""

    def __init__(self, bucket: MemoryBucket, switch: Switch) -> None:
        self._bucket = bucket
        self._switch = switch

    async def get(self, key: str) -> Entry | None:
        """The present value."""
        self._switch.check()
        return self._bucket.entries.get(key)

    async def put(self, key: str, data: bytes) -> int:
        """Write."""
        self._switch.check()
        return self._bucket.write(key, data)

    async def update(self, key: str, data: bytes, revision: int) -> int | None:
        """Write if still at `revision`."""
        self._switch.check()
        present = self._bucket.entries.get(key)
        if (present.revision if present else 0) != revision:
            return None
        return self._bucket.write(key, data)

    async def delete(self, key: str) -> int:
        """Remove."""
        self._switch.check()
        return self._bucket.write(key, None)

    async def entries(self) -> list[Entry]:
        """All present keys."""
        self._switch.check()
        return list(self._bucket.entries.values())

    async def watch(self) -> AsyncGenerator[Entry | None, None]:
        """The present, None, then changes."""
        queue: asyncio.Queue[Entry] = asyncio.Queue()
        self._bucket.watchers.add(queue)
        try:
            for entry in list(self._bucket.entries.values()):
                yield entry
            yield None
            while True:
                yield await queue.get()
        finally:
            self._bucket.watchers.discard(queue)
