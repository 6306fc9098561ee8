"""What a NATS server is to its clients, in memory: streams, buckets, subscriptions, services."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from deis_bus.clock import new_id
from deis_bus.counts import Counts
from deis_bus.errors import Permanent, Unavailable
from deis_bus.memory.keys import MemoryBucket, Switch
from deis_bus.memory.log import MemoryStream
from deis_bus.ports import Component, Endpoint, Received, ServiceInfo
from deis_bus.streams import BUCKETS, STREAMS, Bucket, Stream
from deis_bus.subjects import matches

if TYPE_CHECKING:
    from deis_bus.memory.bus import MemoryBus

MAX_PAYLOAD = 8 * 1024 * 1024
MAX_MESSAGES = 65_536
AT_ONCE = 256


class Subscribed:
    """A core subscription."""

    def __init__(self, subject: str, queue: str, counts: Counts) -> None:
        self.subject = subject
        self.queue = queue
        self.counts = counts
        self.messages: asyncio.Queue[Received] = asyncio.Queue(MAX_MESSAGES)

    def put(self, message: Received) -> None:
        """Deliver, or drop and count."""
        if self.messages.full():
            self.counts.slow_consumers += 1
        else:
            self.messages.put_nowait(message)


class Service(msgspec.Struct, eq=False):
    """A service instance that answers."""

    info: ServiceInfo
    endpoints: Mapping[str, Endpoint]
    free: asyncio.Semaphore
    id: str = msgspec.field(default_factory=new_id)
    running: set[asyncio.Task[None]] = msgspec.field(default_factory=set)


class MemoryBroker:
    """One bus. The streams and buckets of the platform are there from the start."""

    def __init__(
        self, streams: tuple[Stream, ...] = STREAMS, buckets: tuple[Bucket, ...] = BUCKETS
    ) -> None:
        self.streams: dict[str, MemoryStream] = {}
        self.buckets: dict[str, MemoryBucket] = {}
        self.switch = Switch()
        self.services: list[Service] = []
        self._subscribed: list[Subscribed] = []
        self._turn = 0
        self.ensure(streams, buckets)

    def bus(self, name: str) -> "MemoryBus":
        """The bus of a service."""
        from deis_bus.memory.bus import MemoryBus

        return MemoryBus(self, name)

    def stop(self) -> None:
        """Be away: every call raises Unavailable until `start`; what is stored stays."""
        self.switch.up = False

    def start(self) -> None:
        """Be there again."""
        self.switch.up = True

    def ensure(self, streams: tuple[Stream, ...], buckets: tuple[Bucket, ...]) -> None:
        """Make what is missing, bring the rest up to date."""
        for stream in streams:
            self.streams.setdefault(stream.name, MemoryStream(stream)).stream = stream
        for bucket in buckets:
            self.buckets.setdefault(bucket.name, MemoryBucket(bucket)).bucket = bucket

    def stream(self, name: str) -> MemoryStream:
        """A stream by name; raises Unavailable where nobody has made it."""
        self.switch.check()
        try:
            return self.streams[name]
        except KeyError:
            raise Unavailable(f"no stream {name}") from None

    def store(self, subject: str, headers: Mapping[str, str], data: bytes) -> int:
        """Store in the stream of the subject, and tell its subscribers."""
        self.switch.check()
        _sized(data)
        for stream in self.streams.values():
            if any(matches(pattern, subject) for pattern in stream.stream.subjects):
                self._tell(Received(subject, dict(headers), data))
                return stream.append(subject, headers, data)
        raise Unavailable(f"nobody answers on {subject}")

    def emit(self, subject: str, headers: Mapping[str, str], data: bytes) -> None:
        """Send to subscribers, and into the stream that takes the subject."""
        self.switch.check()
        _sized(data)
        for stream in self.streams.values():
            if any(matches(pattern, subject) for pattern in stream.stream.subjects):
                stream.append(subject, headers, data)
        self._tell(Received(subject, dict(headers), data))

    def subscribe(self, subject: str, queue: str, counts: Counts) -> Subscribed:
        """Hear a subject."""
        subscribed = Subscribed(subject, queue, counts)
        self._subscribed.append(subscribed)
        return subscribed

    def unsubscribe(self, subscribed: Subscribed) -> None:
        """Hear it no more."""
        self._subscribed.remove(subscribed)

    def service(self, subject: str) -> tuple[Service, Endpoint]:
        """Whose turn it is to answer; raises Unavailable where nobody does."""
        self.switch.check()
        able = [service for service in self.services if subject in service.endpoints]
        if not able:
            raise Unavailable(f"nobody answers on {subject}")
        self._turn += 1
        service = able[self._turn % len(able)]
        return service, service.endpoints[subject]

    def components(self) -> list[Component]:
        """Who is there."""
        self.switch.check()
        found = [
            Component(
                name=service.info.name,
                id=service.id,
                version=service.info.version,
                metadata=service.info.metadata,
            )
            for service in self.services
        ]
        return sorted(found, key=lambda component: (component.name, component.id))

    def _tell(self, message: Received) -> None:
        groups: dict[tuple[str, str], list[Subscribed]] = {}
        for subscribed in self._subscribed:
            if not matches(subscribed.subject, message.subject):
                continue
            if subscribed.queue:
                groups.setdefault((subscribed.subject, subscribed.queue), []).append(subscribed)
            else:
                subscribed.put(message)
        for members in groups.values():
            self._turn += 1
            members[self._turn % len(members)].put(message)


def _sized(data: bytes) -> None:
    if len(data) > MAX_PAYLOAD:
        raise Permanent(f"{len(data)} bytes are too many for a message")
