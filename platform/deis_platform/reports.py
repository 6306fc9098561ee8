"""What happened to instances, told to the controller, in order and as soon as the bus is there."""

import asyncio
import contextlib
from collections import deque

import structlog

from deis_bus import subjects
from deis_bus.clock import new_id, timestamp
from deis_bus.codec import encode
from deis_bus.envelope import Envelope
from deis_bus.errors import Permanent, Transient
from deis_bus.events import Event
from deis_bus.ports import Bus
from deis_platform.races import unless

log = structlog.get_logger(__name__)

MAX_WAITING = 2000
"""Older ones are dropped: the controller's resync reads the present state."""
PAUSE_SECONDS = 0.5
LAST_SECONDS = 1.0


class Reports:
    """A part: publishes what `tell` was given."""

    name = "reports"

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: deque[tuple[str, Envelope, bytes]] = deque(maxlen=MAX_WAITING)
        self._some = asyncio.Event()

    def tell(self, app: str, appuuid: str, event: Event, identity: str = "") -> None:
        """Report this about an application; what several replicas see has an `identity`, so that
        it is stored once."""
        envelope = Envelope(
            id=identity or new_id(),
            type=event.TYPE,
            source=self._bus.name,
            time=timestamp(),
            subject=app,
            appuuid=appuuid,
        )
        self._waiting.append((subjects.report(app, event.TYPE), envelope, encode(event)))
        self._some.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until stopped, then what waits, for a second."""
        await unless(stop, self._always())
        with contextlib.suppress(Transient, TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                await self._send()

    async def _always(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            try:
                await self._send()
            except Transient:
                self._some.set()
                await asyncio.sleep(PAUSE_SECONDS)

    async def _send(self) -> None:
        while self._waiting:
            report = self._waiting[0]
            try:
                await self._bus.publish(*report)
            except Permanent as fault:
                log.warning("report refused", subject=report[0], fault=str(fault))
            # While it was sent, the queue may have overflowed and lost its first.
            if self._waiting and self._waiting[0] is report:
                self._waiting.popleft()
