"""The one consumer loop: decode, handle, ack, and three kinds of fault (DESIGN 4, Delivery).

*Transient* (a dependency is away): the message goes back, the whole consumer stands still and
probes the dependency until it answers; nothing is ever buried for it. *Permanent*: buried.
*Anything else* is a bug: tried again, buried at the fifth time. Messages of one application are
handled one after the other, those of different applications side by side.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from deis_bus import subjects
from deis_bus.codec import decode, known
from deis_bus.envelope import Envelope, from_headers
from deis_bus.errors import BusError, Permanent, Transient, Undecodable
from deis_bus.events import Event
from deis_bus.ports import Bus, Message
from deis_bus.streams import Durable

log = logging.getLogger(__name__)

TRIES = 5
AT_ONCE = 16
HELD = 64
"""Messages taken and not yet ended, at most."""
DELAY_SECONDS = (0.2, 30.0)
PROBE_SECONDS = (0.1, 5.0)
PROBE_LIMIT_SECONDS = 10.0
REMEMBERED = 10_000
HOPELESS = 10
"""So many times `tries` deliveries end a message that never lived long enough to be counted."""


class Delivered(msgspec.Struct, frozen=True):
    """How an event came to its handler."""

    envelope: Envelope
    subject: str
    sequence: int
    """In its stream."""
    attempt: int
    """1 at the first delivery."""
    message: Message

    async def working(self) -> None:
        """Still at it; a handler that may need half the ack wait calls this in time."""
        await self.message.working()


Handler = Callable[[Any, Delivered], Awaitable[None]]
Probe = Callable[[], Awaitable[bool]]
Around = Callable[[Delivered], AbstractContextManager[Any]]


class Consumer:
    """A part that feeds handlers from a durable consumer.

    `probe` tells whether the dependencies of the handlers are back; without one the consumer
    only waits before it tries again. `around` wraps each handling, e.g. to bind log fields.
    """

    def __init__(
        self,
        bus: Bus,
        durable: Durable,
        handlers: Mapping[type[Event], Handler],
        name: str,
        *,
        tries: int = TRIES,
        probe: Probe | None = None,
        around: Around | None = None,
        at_once: int = AT_ONCE,
    ) -> None:
        self.name = name
        self._bus = bus
        self._durable = durable
        self._handlers = {kind.TYPE: handler for kind, handler in handlers.items()}
        self._tries = tries
        self._probe = probe
        self._around = around
        self._slots = asyncio.Semaphore(at_once)
        self._room = asyncio.Semaphore(HELD)
        self._clear = asyncio.Event()
        self._clear.set()
        self._pausing: asyncio.Task[None] | None = None
        self._lanes: dict[str, deque[Message]] = {}
        self._faults: dict[int, int] = {}
        self._in_a_row = 0
        """Pauses since a message was last handled."""
        self._stopping = False

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop`; then what runs ends and what waits goes back."""
        self._stopping = False
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self._read(group))
            keeping = group.create_task(self._keep_alive())
            await stop.wait()
            self._stopping = True
            self._clear.set()
            for task in (reading, keeping, self._pausing):
                if task is not None:
                    task.cancel()

    async def _read(self, group: asyncio.TaskGroup) -> None:
        while True:
            with contextlib.suppress(Transient):
                inbox = await self._bus.inbox(self._durable)
                break
            await asyncio.sleep(PROBE_SECONDS[0])
        async with contextlib.aclosing(inbox.messages()) as messages:
            async for message in messages:
                try:
                    await self._clear.wait()
                    await self._room.acquire()
                except asyncio.CancelledError:
                    await self._back(message)
                    raise
                app = _app(message.subject)
                lane = self._lanes.get(app)
                if lane is not None:
                    lane.append(message)
                else:
                    self._lanes[app] = deque((message,))
                    group.create_task(self._work(app, group))

    async def _work(self, app: str, group: asyncio.TaskGroup) -> None:
        """Handle the messages of one application, in order."""
        lane = self._lanes[app]
        while lane:
            async with self._slots:
                await self._clear.wait()
                message = lane.popleft()
                try:
                    await (self._back(message) if self._stopping else self._handle(message, group))
                finally:
                    self._room.release()
        del self._lanes[app]

    async def _handle(self, message: Message, group: asyncio.TaskGroup) -> None:
        try:
            await self._call(message)
        except Transient as fault:
            log.warning("%s waits: %s", self.name, fault)
            self._pause(group)
            await self._back(message)
        except Permanent as fault:
            await self._bury(message, str(fault))
        except Exception as fault:  # noqa: BLE001 - the one place where a bug becomes a retry
            await self._unexpected(message, fault)
        else:
            self._in_a_row = 0
            self._faults.pop(message.sequence, None)
            with contextlib.suppress(Transient):
                await message.done()

    async def _call(self, message: Message) -> None:
        try:
            envelope = from_headers(message.headers)
        except ValueError as fault:
            raise Undecodable(str(fault)) from fault
        handler = self._handlers.get(envelope.type)
        if handler is None:
            self._bus.counts.unknown += not known(envelope.type)
            return
        event = decode(envelope.type, message.data)
        delivered = Delivered(envelope, message.subject, message.sequence, message.attempt, message)
        with self._around(delivered) if self._around else contextlib.nullcontext():
            await handler(event, delivered)

    async def _unexpected(self, message: Message, fault: Exception) -> None:
        count = self._faults.pop(message.sequence, 0) + 1
        log.error("%s: fault %d on %s", self.name, count, message.subject, exc_info=fault)
        if count >= self._tries or message.attempt >= HOPELESS * self._tries:
            await self._bury(message, f"{type(fault).__name__}: {fault}")
            return
        while len(self._faults) >= REMEMBERED:
            self._faults.pop(next(iter(self._faults)))
        self._faults[message.sequence] = count
        self._bus.counts.retried += 1
        with contextlib.suppress(Transient):
            await message.retry_later(backoff(count, DELAY_SECONDS))

    async def _bury(self, message: Message, reason: str) -> None:
        log.error("%s buries %s: %s", self.name, message.subject, reason)
        try:
            await message.bury(reason)
        except BusError as fault:
            # The message comes again after its ack wait.
            log.warning("%s cannot bury %s now: %s", self.name, message.subject, fault)

    async def _back(self, message: Message) -> None:
        with contextlib.suppress(Transient):
            await message.retry_later(PROBE_SECONDS[0])

    def _pause(self, group: asyncio.TaskGroup) -> None:
        if self._clear.is_set() and not self._stopping:
            self._clear.clear()
            self._bus.counts.paused += 1
            self._in_a_row += 1
            self._pausing = group.create_task(self._until_back())

    async def _until_back(self) -> None:
        tries = self._in_a_row - 1
        try:
            while True:
                tries += 1
                await asyncio.sleep(backoff(tries, PROBE_SECONDS))
                if await self._answers():
                    return
        finally:
            self._clear.set()

    async def _answers(self) -> bool:
        if self._probe is None:
            return True
        try:
            async with asyncio.timeout(PROBE_LIMIT_SECONDS):
                return await self._probe()
        except (Transient, TimeoutError, OSError):
            return False

    async def _keep_alive(self) -> None:
        """What waits for its turn must not be delivered again meanwhile."""
        while True:
            await asyncio.sleep(self._durable.ack_wait_seconds / 3)
            for message in [message for lane in self._lanes.values() for message in lane]:
                with contextlib.suppress(Transient):
                    await message.working()


def backoff(tries: int, bounds: tuple[float, float]) -> float:
    """Seconds to wait after so many tries: doubled each time, between the bounds."""
    first, longest = bounds
    return min(longest, first * 2.0 ** min(tries - 1, 20))


def _app(subject: str) -> str:
    try:
        return subjects.event_parts(subject)[0]
    except ValueError:
        return subject
