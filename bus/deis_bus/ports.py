"""What the platform asks of a bus, as Protocols; `jetstream` and `memory` implement them.

One `Bus` object per process and service. Every method may raise Unavailable when the bus is
away; nothing is retried inside a port except the connection itself.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from deis_bus.counts import Counts
from deis_bus.envelope import Envelope
from deis_bus.streams import Bucket, Durable, Stream


class Received(msgspec.Struct, frozen=True):
    """A message as it came: from a subscription or out of a stream."""

    subject: str
    headers: Mapping[str, str]
    data: bytes
    sequence: int = 0
    """Position in its stream, from 1; 0 for a message that was not stored."""


class Message(Protocol):
    """A message of a durable consumer; exactly one of done, retry_later, bury ends it."""

    subject: str
    headers: Mapping[str, str]
    data: bytes
    sequence: int
    attempt: int
    """1 at the first delivery."""

    async def done(self) -> None:
        """Ack: never deliver it again."""

    async def retry_later(self, seconds: float) -> None:
        """Deliver it again after that many seconds."""

    async def working(self) -> None:
        """Still at it: start the ack wait anew."""

    async def bury(self, reason: str) -> None:
        """Copy it to `deis.dead.…` with reason, durable and attempt as headers, then end it."""


class Inbox(Protocol):
    """A durable consumer's messages."""

    name: str

    def messages(self) -> AsyncGenerator[Message, None]:
        """Messages as they come, for ever; survives reconnects by itself.

        Close it (`aclosing`) when you stop: what it held and did not give goes to others at once.
        """
        ...


class Subscription(Protocol):
    """Messages of a core subscription, in order, for ever."""

    def __aiter__(self) -> AsyncIterator[Received]: ...


class Entry(msgspec.Struct, frozen=True):
    """A key's value in a bucket; `data` is None where the key was deleted."""

    key: str
    data: bytes | None
    revision: int
    """Grows over the whole bucket, so it also orders changes of different keys."""


class Keys(Protocol):
    """A key-value bucket."""

    async def get(self, key: str) -> Entry | None:
        """The present value; None when there is none."""

    async def put(self, key: str, data: bytes) -> int:
        """Write; gives the new revision."""
        ...

    async def update(self, key: str, data: bytes, revision: int) -> int | None:
        """Write only if the key is still at `revision` (0: does not exist); None when it is not."""

    async def delete(self, key: str) -> int:
        """Remove; gives the revision of the removal. Removing an absent key is no error."""
        ...

    async def entries(self) -> list[Entry]:
        """All present keys."""
        ...

    def watch(self) -> AsyncGenerator[Entry | None, None]:
        """All present keys, then None once (the present is complete), then every change, for ever.

        After a reconnect or a lost bucket the whole present may come again, with None after it.
        """
        ...


class ByteStream(Protocol):
    """One end of a two-way byte stream with flow control; see `bytestream.py`."""

    id: str

    async def send(self, data: bytes, channel: int = 1) -> None:
        """Send bytes in frames of at most 256 KB; waits while the other end's window is full.

        Raises StreamClosed when the other end is gone or has cancelled.
        """

    async def end_input(self) -> None:
        """No more bytes from this end; the other end sees `end`."""

    async def exit(self, code: int) -> None:
        """This end is finished with an exit code; the other end sees `exit`. Closes."""

    async def resize(self, columns: int, rows: int) -> None:
        """Tell the other end the size of the terminal."""

    async def signal(self, name: str) -> None:
        """Ask the other end to signal its program, e.g. `INT`."""

    async def cancel(self, reason: str = "") -> None:
        """Give up: the other end's next send raises StreamClosed, its frames end with `cancel`."""

    def frames(self) -> AsyncGenerator["Frame", None]:
        """Frames of the other end as they come; ends after `exit` or `cancel`.

        Raises StreamClosed when nothing, not even a keep-alive, was heard for the idle limit.
        """
        ...

    async def close(self) -> None:
        """Free the subscriptions; cancels if neither end had finished."""


class Frame(msgspec.Struct, frozen=True):
    """One thing that came over a byte stream."""

    kind: str
    """`data`, `end`, `exit`, `resize`, `signal` or `cancel`."""
    data: bytes = b""
    channel: int = 1
    """1 standard output, 2 standard error, 0 input."""
    code: int = 0
    columns: int = 0
    rows: int = 0
    text: str = ""


class ServiceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """How a service announces itself (`nats micro ls`)."""

    name: str
    version: str
    description: str = ""
    metadata: dict[str, str] = {}


class Answer(msgspec.Struct, frozen=True):
    """The raw answer to a request: `code` is 0 or the status of a refusal."""

    data: bytes
    code: int = 0
    detail: str = ""
    kind: str = ""


TOO_LARGE = Answer(b"", 500, "Server Error", "too-large")
"""What the caller gets instead of an answer that no message can hold."""

Endpoint = Callable[[Received], Awaitable[Answer]]


class Component(msgspec.Struct, frozen=True, kw_only=True):
    """A service instance found on the bus."""

    name: str
    id: str
    version: str
    metadata: dict[str, str] = {}


class Bus(Protocol):
    """The one door to the bus."""

    name: str
    """The service that speaks: the envelope's source."""
    counts: Counts
    """What went wrong so far, for metrics."""

    async def ensure(self, streams: tuple[Stream, ...], buckets: tuple[Bucket, ...]) -> None:
        """Make streams and buckets that are missing and bring the others up to date."""

    async def publish(self, subject: str, envelope: Envelope, data: bytes) -> int:
        """Store an event; returns once the stream has it, with its sequence.

        A second publish of the same envelope id within the duplicate window stores nothing.
        """
        ...

    async def emit(
        self, subject: str, data: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send without storing and without an ack; lost while the bus is away."""

    async def store(self, subject: str, data: bytes, headers: Mapping[str, str]) -> int:
        """Store raw bytes in the stream of the subject; `Nats-Msg-Id` among the headers dedupes."""
        ...

    async def inbox(self, durable: Durable) -> Inbox:
        """Make or find the durable consumer."""
        ...

    def replay(
        self, stream: str, filters: tuple[str, ...], start: int = 1
    ) -> AsyncGenerator[Received, None]:
        """Messages of a stream from sequence `start` on, then new ones as they come, for ever.

        Begins again at the first message where the stream was lost and made anew meanwhile.
        """
        ...

    async def read(
        self, stream: str, filters: tuple[str, ...] = (), start: int = 1, limit: int = 1000
    ) -> list[Received]:
        """What the stream holds now from `start` on, at most `limit` messages; no filter: all."""
        ...

    async def remove(self, stream: str, sequence: int) -> bool:
        """Delete one message of a stream; False when it was not there."""
        ...

    async def durables(self, stream: str) -> list[str]:
        """Names of the durable consumers of a stream."""
        ...

    async def forget(self, stream: str, name: str) -> bool:
        """Delete a durable consumer with what it knew; False when it was not there."""
        ...

    async def stream_bounds(self, stream: str) -> tuple[int, int]:
        """First and last sequence that the stream holds; (1, 0) when it never held any."""
        ...

    async def stream_epoch(self, stream: str) -> str:
        """A word that changes when the stream was made anew (its creation time)."""
        ...

    def subscribe(self, subject: str, queue: str = "") -> AbstractAsyncContextManager[Subscription]:
        """Core messages of a subject while the context lasts; active once it is entered."""
        ...

    async def request(
        self, subject: str, data: bytes, headers: Mapping[str, str], timeout: float
    ) -> Answer:
        """One request, one answer. Raises Unavailable (nobody there) or DeadlineExceeded."""
        ...

    def serve(
        self, service: ServiceInfo, endpoints: Mapping[str, Endpoint]
    ) -> AbstractAsyncContextManager[None]:
        """Answer requests, by full subject, while the context lasts; replicas share them."""
        ...

    async def discover(self, timeout: float = 0.5) -> list[Component]:
        """Service instances that answer a ping within the time."""
        ...

    def keys(self, bucket: Bucket) -> Keys:
        """A bucket that `ensure` has made."""
        ...

    async def open_stream(self, stream_id: str, side: str) -> ByteStream:
        """One end of a byte stream: `opener` (who made the id) or `acceptor` (who was told it).

        The opener opens its end before it tells anybody the id.
        """
        ...

    async def ready(self) -> bool:
        """Whether the bus answers right now (bounded by a second)."""
        ...

    async def close(self) -> None:
        """Deliver what is pending, then close."""
