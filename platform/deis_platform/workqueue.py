"""A keyed work queue: puts of one key merge, a key is worked on by one at a time, N in parallel.

State decides, not the put: a key put while it is worked on is worked on once more afterwards,
because what the put tells of may have come after the worker looked.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

from deis_bus.errors import Transient
from deis_platform.logs import get_logger
from deis_platform.retry import delays

log = get_logger(__name__)

Handle = Callable[[str], Awaitable[float | None]]
MANY = 50
"""So many looks in one go are told in the log once they are through: a start, a resync."""


class WorkQueue:
    """A part: works on keys with `handle` while it runs.

    `handle(key)` gives the seconds after which it wants to see the key again, or None. When it
    raises, the key comes back after a growing pause.
    """

    def __init__(
        self,
        handle: Handle,
        *,
        parallel: int = 8,
        name: str = "work",
        pauses: Callable[[], Iterator[float]] = delays,
    ) -> None:
        self.name = name
        self._handle = handle
        self._parallel = parallel
        self._pauses = pauses
        self._ready: asyncio.Queue[str] = asyncio.Queue()
        self._waiting: dict[str, None] = {}
        """Keys that stand in `_ready`, in order."""
        self._working: dict[str, bool] = {}
        """Keys worked on; True where the key was put again meanwhile."""
        self._later: dict[str, asyncio.TimerHandle] = {}
        self._failing: dict[str, Iterator[float]] = {}
        self._looks = 0
        """Since nothing was to be done."""
        self._busy_since = 0.0

    def put(self, key: str, delay: float = 0.0) -> None:
        """Have `key` worked on, `delay` seconds from now; an earlier put of it wins."""
        if delay > 0:
            self._put_later(key, delay)
            return
        timer = self._later.pop(key, None)
        if timer is not None:
            timer.cancel()
        if key in self._working:
            self._working[key] = True
        elif key not in self._waiting:
            self._waiting[key] = None
            self._ready.put_nowait(key)

    def __len__(self) -> int:
        """Keys that wait, are worked on, or come later."""
        return len(self._waiting.keys() | self._working.keys() | self._later.keys())

    async def run(self, stop: asyncio.Event) -> None:
        """Work until stopped; keys in work are finished first (the runner's grace bounds that).

        It may run again after that: what was left undone comes first.
        """
        self._take_up()
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._parallel):
                    group.create_task(self._work(stop), name=f"{self.name} {number}")
                await stop.wait()
                for _ in range(self._parallel):
                    self._ready.put_nowait("")  # wakes a worker, which sees that it should stop
        finally:
            for timer in self._later.values():
                timer.cancel()
            self._waiting.update(dict.fromkeys(self._later))
            self._later.clear()

    def _take_up(self) -> None:
        left = dict.fromkeys((*self._working, *self._waiting))
        self._looks = 0
        self._working.clear()
        self._waiting.clear()
        self._ready = asyncio.Queue()
        for key in left:
            self.put(key)

    def _put_later(self, key: str, delay: float) -> None:
        loop = asyncio.get_running_loop()
        known = self._later.get(key)
        if key in self._waiting or (known is not None and known.when() <= loop.time() + delay):
            return
        if known is not None:
            known.cancel()
        self._later[key] = loop.call_later(delay, self.put, key)

    async def _work(self, stop: asyncio.Event) -> None:
        while True:
            key = await self._ready.get()
            if stop.is_set():
                return
            self._begin(key)
            again = await self._once(key)
            if self._working.pop(key):
                self.put(key)
            elif again is not None:
                self.put(key, max(again, 0.001))
            self._tell_when_through()

    def _begin(self, key: str) -> None:
        if not self._working and not self._looks:
            self._busy_since = time.monotonic()
        self._looks += 1
        self._waiting.pop(key, None)
        self._working[key] = False

    def _tell_when_through(self) -> None:
        if self._waiting or self._working:
            return
        if self._looks >= MANY:
            seconds = round(time.monotonic() - self._busy_since, 3)
            log.info("worked through", queue=self.name, looks=self._looks, seconds=seconds)
        self._looks = 0

    async def _once(self, key: str) -> float | None:
        try:
            again = await self._handle(key)
        except Exception as fault:  # noqa: BLE001 - the key must come back, the others must go on
            pause = next(self._failing.setdefault(key, self._pauses()))
            report = log.warning if isinstance(fault, Transient) else log.exception
            report("work failed", queue=self.name, key=key, fault=repr(fault), again_in=pause)
            return pause
        self._failing.pop(key, None)
        return again
