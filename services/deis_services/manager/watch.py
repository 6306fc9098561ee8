"""Looks who is there and reports what has changed; a report waits while the bus is away."""

import asyncio
import uuid
from collections import deque
from collections.abc import Callable

import msgspec

from deis_bus import codec, subjects
from deis_bus.clock import new_id, timestamp
from deis_bus.envelope import Envelope
from deis_bus.errors import BusError
from deis_bus.events import Event
from deis_bus.events.fleet import ComponentCrashed, ComponentMissing, ComponentStarted
from deis_bus.ports import Bus, Component
from deis_platform.logs import get_logger
from deis_platform.runner import wait_for_stop
from deis_services.manager.rules import Roll

log = get_logger(__name__)

PING_SECONDS = 1.0
MAX_WAITING = 1000
"""Reports that wait for the bus; older ones are given up."""
ONCE = uuid.UUID("6f2d3c1e-8a54-4b7e-9d0b-5c1f0e7a2b94")
"""Names the identities of events that are to be told once, whoever tells them."""
OWN = "manager"


class Report(msgspec.Struct, frozen=True):
    """An event and its envelope: the same one at every attempt, so that it is stored once."""

    event: Event
    envelope: Envelope


class Watch:
    """A part: one look every few seconds."""

    name = "watch"

    def __init__(self, bus: Bus, roll: Roll, interval_seconds: float) -> None:
        self.waiting: deque[Report] = deque(maxlen=MAX_WAITING)
        self.seen: tuple[Component, ...] = ()
        """Who answered at the last look."""
        self.listeners: list[Callable[[Event], None]] = []
        """They hear all that is told, at once and whatever the bus does."""
        self._bus = bus
        self._roll = roll
        self._interval = interval_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Look until stopped; a look that the bus spoils counts for nobody."""
        while True:
            try:
                await self.once()
            except BusError as fault:
                log.debug("no look at the components", fault=str(fault))
            if await wait_for_stop(stop, self._interval):
                return

    def tell(self, event: Event) -> None:
        """Report it with the next look."""
        _tell(event)
        self.waiting.append(report(event))
        for listener in self.listeners:
            listener(event)

    async def once(self) -> None:
        """One look, and what waits goes out. Raises BusError while the bus is away."""
        seen = await self._bus.discover(PING_SECONDS)
        # We answer too: who does not hear himself hears nobody, and the others are not missing.
        if any(component.name == OWN for component in seen):
            self.seen = tuple(seen)
            for event in self._roll.look(seen):
                self.tell(event)
        while self.waiting:
            first = self.waiting[0]
            subject = subjects.report(subjects.PLATFORM, first.event.TYPE)
            await self._bus.publish(subject, first.envelope, codec.encode(first.event))
            self.waiting.popleft()


def report(event: Event) -> Report:
    """An event ready to go. That an instance started is one fact, also for a manager that was
    started anew and sees it for the first time: its identity comes from the instance."""
    identity = new_id()
    if isinstance(event, ComponentStarted):
        identity = str(uuid.uuid5(ONCE, f"{event.TYPE} {event.instance}"))
    envelope = Envelope(
        id=identity,
        type=event.TYPE,
        source=OWN,
        time=timestamp(),
        subject=subjects.PLATFORM,
        schemaversion=event.VERSION,
    )
    return Report(event, envelope)


def _tell(event: Event) -> None:
    say = log.warning if isinstance(event, ComponentMissing | ComponentCrashed) else log.info
    say(event.TYPE.replace(".", " "), **msgspec.structs.asdict(event))
