"""The bus of one service on a MemoryBroker."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager

from deis_bus import bytestream, subjects
from deis_bus.counts import Counts
from deis_bus.envelope import Envelope, to_headers
from deis_bus.errors import DeadlineExceeded, Unavailable
from deis_bus.letters import MESSAGE_ID, dead_headers
from deis_bus.memory.broker import AT_ONCE, MAX_PAYLOAD, MemoryBroker, Service
from deis_bus.memory.keys import MemoryKeys
from deis_bus.memory.log import MemoryDurable, MemoryStream
from deis_bus.ports import (
    TOO_LARGE,
    Answer,
    Bus,
    ByteStream,
    Component,
    Endpoint,
    Keys,
    Message,
    Received,
    ServiceInfo,
)
from deis_bus.streams import Bucket, Durable, Stream


class MemoryBus:
    """Implements `deis_bus.ports.Bus`; made by `MemoryBroker.bus`."""

    def __init__(self, broker: MemoryBroker, name: str) -> None:
        self.name = name
        self.counts = Counts()
        self.broker = broker

    async def ensure(self, streams: tuple[Stream, ...], buckets: tuple[Bucket, ...]) -> None:
        """Make or update streams and buckets."""
        self.broker.switch.check()
        self.broker.ensure(streams, buckets)

    async def publish(self, subject: str, envelope: Envelope, data: bytes) -> int:
        """Store an event once."""
        headers = to_headers(envelope) | {MESSAGE_ID: envelope.id}
        return self.broker.store(subject, headers, data)

    async def emit(
        self, subject: str, data: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send without an ack."""
        self.broker.emit(subject, headers or {}, data)

    async def store(self, subject: str, data: bytes, headers: Mapping[str, str]) -> int:
        """Store raw bytes."""
        return self.broker.store(subject, headers, data)

    async def inbox(self, durable: Durable) -> "MemoryInbox":
        """Make or find the durable consumer."""
        stream = self.broker.stream(durable.stream)
        known = stream.durables.setdefault(durable.name, MemoryDurable(stream, durable))
        known.durable = durable
        return MemoryInbox(self, known)

    async def replay(
        self, stream: str, filters: tuple[str, ...], start: int = 1
    ) -> AsyncGenerator[Received, None]:
        """Messages from a sequence on, for ever."""
        reading = self.broker.stream(stream).read(filters, start)
        async with contextlib.aclosing(reading) as messages:
            async for message in messages:
                yield message

    async def read(
        self, stream: str, filters: tuple[str, ...] = (), start: int = 1, limit: int = 1000
    ) -> list[Received]:
        """What the stream holds now."""
        held = self.broker.stream(stream)
        found: list[Received] = []
        while len(found) < limit and (message := held.after(start, filters)) is not None:
            found.append(message)
            start = message.sequence + 1
        return found

    async def remove(self, stream: str, sequence: int) -> bool:
        """Delete one message."""
        return self.broker.stream(stream).remove(sequence)

    async def durables(self, stream: str) -> list[str]:
        """Names of durable consumers."""
        return sorted(self.broker.stream(stream).durables)

    async def forget(self, stream: str, name: str) -> bool:
        """Delete a durable consumer."""
        return self.broker.stream(stream).durables.pop(name, None) is not None

    async def stream_bounds(self, stream: str) -> tuple[int, int]:
        """First and last sequence."""
        held = self.broker.stream(stream)
        return held.first, held.last

    async def stream_epoch(self, stream: str) -> str:
        """A word of this stream's life."""
        return self.broker.stream(stream).epoch

    @asynccontextmanager
    async def subscribe(self, subject: str, queue: str = "") -> AsyncIterator["MemorySubscription"]:
        """Core messages while the context lasts."""
        subscribed = self.broker.subscribe(subject, queue, self.counts)
        try:
            yield MemorySubscription(subscribed.messages)
        finally:
            self.broker.unsubscribe(subscribed)

    async def request(
        self, subject: str, data: bytes, headers: Mapping[str, str], timeout: float
    ) -> Answer:
        """One request, one answer; the handler goes on where nobody waits any more."""
        service, endpoint = self.broker.service(subject)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        received = Received(subject, dict(headers), data)
        task = asyncio.create_task(_handle(service, endpoint, received, answer))
        service.running.add(task)
        task.add_done_callback(service.running.discard)
        try:
            async with asyncio.timeout(timeout):
                return await answer
        except TimeoutError as fault:
            raise DeadlineExceeded(f"no answer on {subject} within {timeout:g} s") from fault

    @asynccontextmanager
    async def serve(
        self, service: ServiceInfo, endpoints: Mapping[str, Endpoint]
    ) -> AsyncIterator[None]:
        """Answer requests while the context lasts."""
        served = Service(service, endpoints, asyncio.Semaphore(AT_ONCE))
        self.broker.services.append(served)
        try:
            yield
        finally:
            self.broker.services.remove(served)
            if served.running:
                _, late = await asyncio.wait(served.running, timeout=5.0)
                for task in late:
                    task.cancel()

    async def discover(self, timeout: float = 0.5) -> list[Component]:
        """Who is there; needs no waiting here."""
        return self.broker.components()

    def keys(self, bucket: Bucket) -> Keys:
        """A bucket; raises Unavailable where nobody has made it."""
        if bucket.name not in self.broker.buckets:
            raise Unavailable(f"no bucket {bucket.name}")
        return MemoryKeys(self.broker.buckets[bucket.name], self.broker.switch)

    async def open_stream(self, stream_id: str, side: str) -> ByteStream:
        """One end of a byte stream."""
        return await bytestream.open_end(self, stream_id, side)

    async def ready(self) -> bool:
        """Whether the broker is there."""
        return self.broker.switch.up

    async def close(self) -> None:
        """Nothing is pending here."""


class MemorySubscription:
    """Messages of a core subscription."""

    def __init__(self, messages: asyncio.Queue[Received]) -> None:
        self._messages = messages

    def __aiter__(self) -> AsyncIterator[Received]:
        return self

    async def __anext__(self) -> Received:
        return await self._messages.get()


class MemoryInbox:
    """A durable consumer's messages."""

    def __init__(self, bus: MemoryBus, durable: MemoryDurable) -> None:
        self.name = durable.durable.name
        self._bus = bus
        self._durable = durable

    async def messages(self) -> AsyncGenerator[Message, None]:
        """Deliveries, for ever."""
        stream: MemoryStream = self._durable.stream
        waiter = asyncio.Event()
        stream.waiters.add(waiter)
        try:
            while True:
                waiter.clear()
                while (taken := self._durable.take()) is not None:
                    yield MemoryMessage(self._bus, self._durable, *taken)
                await waiter.wait()
        finally:
            stream.waiters.discard(waiter)


class MemoryMessage:
    """One delivery."""

    def __init__(
        self, bus: MemoryBus, durable: MemoryDurable, message: Received, attempt: int
    ) -> None:
        self.subject: str = message.subject
        self.headers: Mapping[str, str] = message.headers
        self.data: bytes = message.data
        self.sequence = message.sequence
        self.attempt = attempt
        self._bus = bus
        self._durable = durable

    async def done(self) -> None:
        """Ack."""
        self._bus.broker.switch.check()
        self._durable.end(self.sequence)

    async def retry_later(self, seconds: float) -> None:
        """Again after that time."""
        self._bus.broker.switch.check()
        self._durable.later(self.sequence, seconds)

    async def working(self) -> None:
        """Start the ack wait anew."""
        self._bus.broker.switch.check()
        self._durable.working(self.sequence)

    async def bury(self, reason: str) -> None:
        """A copy to the dead letters, then the end."""
        headers = dead_headers(self, self._durable.durable, reason)
        self._bus.broker.store(subjects.dead(self.subject), headers, self.data)
        self._bus.counts.buried += 1
        self._durable.end(self.sequence)


async def _handle(
    service: Service, endpoint: Endpoint, received: Received, answer: asyncio.Future[Answer]
) -> None:
    async with service.free:
        given = await endpoint(received)
    if len(given.data) > MAX_PAYLOAD:
        given = TOO_LARGE
    if not answer.done():
        answer.set_result(given)


def _is_bus(bus: MemoryBus) -> Bus:
    return bus
