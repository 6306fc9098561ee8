"""A stored stream in memory, with its durable consumers."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Mapping

from deis_bus.clock import new_id
from deis_bus.letters import MESSAGE_ID
from deis_bus.ports import Received
from deis_bus.streams import Durable, Stream
from deis_bus.subjects import matches


class MemoryStream:
    """Messages by sequence. `changed` wakes whoever waits for more."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.epoch = new_id().replace("-", "")
        self.last = 0
        self.messages: OrderedDict[int, Received] = OrderedDict()
        self.durables: dict[str, MemoryDurable] = {}
        self.waiters: set[asyncio.Event] = set()
        self._ids: dict[str, int] = {}
        self._bytes = 0

    @property
    def first(self) -> int:
        """Sequence of the first message held; one behind the last when there is none."""
        return next(iter(self.messages), self.last + 1)

    def append(self, subject: str, headers: Mapping[str, str], data: bytes) -> int:
        """Store; gives the sequence, of the first one where the message id was seen before."""
        message_id = headers.get(MESSAGE_ID, "")
        if message_id in self._ids:
            return self._ids[message_id]
        self.last += 1
        self.messages[self.last] = Received(subject, dict(headers), data, self.last)
        self._bytes += len(data)
        if message_id:
            self._ids[message_id] = self.last
        while self._bytes > self.stream.max_bytes:
            self.remove(self.first)
        self.wake()
        return self.last

    def remove(self, sequence: int) -> bool:
        """Drop one message."""
        message = self.messages.pop(sequence, None)
        if message is None:
            return False
        self._bytes -= len(message.data)
        return True

    def wake(self) -> None:
        """Something is there to be looked at."""
        for waiter in self.waiters:
            waiter.set()

    def after(self, sequence: int, filters: tuple[str, ...]) -> Received | None:
        """The first message from `sequence` on that passes a filter."""
        for place in range(max(sequence, self.first), self.last + 1):
            message = self.messages.get(place)
            if message is not None and passes(filters, message.subject):
                return message
        return None

    async def read(self, filters: tuple[str, ...], start: int) -> AsyncGenerator[Received, None]:
        """Messages from `start` on, for ever."""
        waiter = asyncio.Event()
        self.waiters.add(waiter)
        try:
            while True:
                waiter.clear()
                while (message := self.after(start, filters)) is not None:
                    start = message.sequence + 1
                    yield message
                await waiter.wait()
        finally:
            self.waiters.discard(waiter)


class MemoryDurable:
    """Where a durable consumer stands: what it was given, what it has to be given again."""

    def __init__(self, stream: MemoryStream, durable: Durable) -> None:
        self.durable = durable
        self.stream = stream
        self.next = stream.last + 1 if durable.new_only else max(1, durable.start)
        self.attempts: dict[int, int] = {}
        self.again: deque[int] = deque()
        self._timers: dict[int, asyncio.TimerHandle] = {}

    def take(self) -> tuple[Received, int] | None:
        """The next delivery and its attempt, if there is one and room for it."""
        while self.again:
            sequence = self.again.popleft()
            message = self.stream.messages.get(sequence)
            if message is not None and sequence in self.attempts:
                return self._given(message)
            self.attempts.pop(sequence, None)
        if len(self.attempts) >= self.durable.max_in_flight:
            return None
        message = self.stream.after(self.next, self.durable.filters)
        if message is None:
            return None
        self.next = message.sequence + 1
        return self._given(message)

    def working(self, sequence: int) -> None:
        """The ack wait begins anew."""
        if sequence in self._timers:
            self.later(sequence, self.durable.ack_wait_seconds)

    def later(self, sequence: int, seconds: float) -> None:
        """Give it again after that time, unless it ends before."""
        self._quiet(sequence)
        loop = asyncio.get_running_loop()
        self._timers[sequence] = loop.call_later(seconds, self._due, sequence)

    def end(self, sequence: int) -> None:
        """Never again."""
        self._quiet(sequence)
        self.attempts.pop(sequence, None)
        if self.stream.stream.until_acked:
            self.stream.remove(sequence)
        self.stream.wake()

    def _given(self, message: Received) -> tuple[Received, int]:
        attempt = self.attempts.get(message.sequence, 0) + 1
        self.attempts[message.sequence] = attempt
        self.later(message.sequence, self.durable.ack_wait_seconds)
        return message, attempt

    def _due(self, sequence: int) -> None:
        self._timers.pop(sequence, None)
        self.again.append(sequence)
        self.stream.wake()

    def _quiet(self, sequence: int) -> None:
        timer = self._timers.pop(sequence, None)
        if timer is not None:
            timer.cancel()


def passes(filters: tuple[str, ...], subject: str) -> bool:
    """Whether any filter matches; no filter lets everything pass."""
    return not filters or any(matches(pattern, subject) for pattern in filters)
