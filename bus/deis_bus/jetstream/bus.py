"""The bus on JetStream, put together from its pieces."""

import asyncio
import contextlib
import secrets
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec
from nats.aio.msg import Msg

from deis_bus import bytestream
from deis_bus.envelope import Envelope, to_headers
from deis_bus.errors import Unavailable
from deis_bus.jetstream import api
from deis_bus.jetstream.inbox import JetStreamInbox
from deis_bus.jetstream.keys import JetStreamKeys
from deis_bus.jetstream.link import Link
from deis_bus.jetstream.micro import MicroService, answer_of
from deis_bus.jetstream.reader import Begun, made, present, read, received
from deis_bus.jetstream.store import store
from deis_bus.letters import MESSAGE_ID
from deis_bus.ports import Answer, Bus, ByteStream, Component, Endpoint, Keys, Received, ServiceInfo
from deis_bus.streams import Bucket, Durable, Stream

SUBSCRIBED = 1024
"""Messages handed over to a subscriber and not yet taken; more wait in the client, bounded."""


class JetStreamBus:
    """Implements `deis_bus.ports.Bus`; made by `connect`."""

    def __init__(self, link: Link) -> None:
        self.name = link.name
        self.counts = link.counts
        self._link = link

    async def ensure(self, streams: tuple[Stream, ...], buckets: tuple[Bucket, ...]) -> None:
        """Make or update streams and buckets."""
        for stream in streams:
            await api.ensure_stream(self._link, api.stream_config(stream))
        for bucket in buckets:
            await api.ensure_stream(self._link, api.bucket_config(bucket))

    async def publish(self, subject: str, envelope: Envelope, data: bytes) -> int:
        """Store an event once."""
        headers = to_headers(envelope)
        headers[MESSAGE_ID] = envelope.id
        return await store(self._link, subject, data, headers)

    async def emit(
        self, subject: str, data: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send without storing."""
        await self._link.send(subject, data, headers)

    async def store(self, subject: str, data: bytes, headers: Mapping[str, str]) -> int:
        """Store raw bytes."""
        return await store(self._link, subject, data, headers)

    async def inbox(self, durable: Durable) -> JetStreamInbox:
        """Make or find the durable consumer."""
        await api.ensure_durable(self._link, durable)
        return JetStreamInbox(self._link, durable)

    async def replay(
        self, stream: str, filters: tuple[str, ...], start: int = 1
    ) -> AsyncGenerator[Received, None]:
        """Messages from a sequence on, for ever."""
        async with contextlib.aclosing(read(self._link, stream, filters, start=start)) as reading:
            async for item in reading:
                if not isinstance(item, Begun):
                    yield item.message

    async def read(
        self, stream: str, filters: tuple[str, ...] = (), start: int = 1, limit: int = 1000
    ) -> list[Received]:
        """What the stream holds now."""
        found: list[Received] = []
        reading = present(self._link, stream, filters, start=start)
        async with contextlib.aclosing(reading) as held:
            async for item in held:
                found.append(item.message)
                if len(found) >= limit:
                    break
        return found

    async def remove(self, stream: str, sequence: int) -> bool:
        """Delete one message of a stream."""
        try:
            await api.call(self._link, f"STREAM.MSG.DELETE.{stream}", {"seq": sequence})
        except api.ApiError as fault:
            if fault.err_code == api.DELETE_FAILED and str(fault) in api.NO_MESSAGE:
                return False
            raise
        return True

    async def durables(self, stream: str) -> list[str]:
        """Names of the consumers of a stream, readers left out."""
        names: list[str] = []
        while True:
            answer = await api.call(self._link, f"CONSUMER.NAMES.{stream}", {"offset": len(names)})
            page = answer["consumers"] or []
            names += page
            if not page or len(names) >= answer["total"]:
                return sorted(name for name in names if not name.startswith("reader-"))

    async def forget(self, stream: str, name: str) -> bool:
        """Delete a durable consumer."""
        try:
            await api.call(self._link, f"CONSUMER.DELETE.{stream}.{name}")
        except api.ApiError as fault:
            if fault.err_code == api.CONSUMER_NOT_FOUND:
                return False
            raise
        return True

    async def stream_bounds(self, stream: str) -> tuple[int, int]:
        """First and last sequence."""
        state = (await api.call(self._link, f"STREAM.INFO.{stream}"))["state"]
        return max(1, state["first_seq"]), state["last_seq"]

    async def stream_epoch(self, stream: str) -> str:
        """The creation time, as one word of letters and digits."""
        moment = await made(self._link, stream)
        return f"{int(''.join(c for c in moment if c.isdigit())):x}"

    @asynccontextmanager
    async def subscribe(
        self, subject: str, queue: str = ""
    ) -> AsyncIterator[AsyncIterator[Received]]:
        """Core messages while the context lasts."""
        taken: asyncio.Queue[Received] = asyncio.Queue(SUBSCRIBED)

        async def take(message: Msg) -> None:
            await taken.put(received(message))

        listener = await self._link.listen(subject, take, queue)
        try:
            if self._link.connected.is_set():
                await self._link.flush()
            yield _Subscription(taken)
        finally:
            await self._link.unlisten(listener)

    async def request(
        self, subject: str, data: bytes, headers: Mapping[str, str], timeout: float
    ) -> Answer:
        """One request, one answer."""
        return answer_of(await self._link.request(subject, data, headers, timeout))

    @asynccontextmanager
    async def serve(
        self, service: ServiceInfo, endpoints: Mapping[str, Endpoint]
    ) -> AsyncIterator[None]:
        """Answer requests while the context lasts."""
        micro = MicroService(self._link, service, endpoints)
        try:
            await micro.start()
            yield
        finally:
            await micro.stop()

    async def discover(self, timeout: float = 0.5) -> list[Component]:
        """Ask who is there and collect for that long."""
        found: list[Component] = []

        async def hear(message: Msg) -> None:
            if message.data:
                found.append(msgspec.json.decode(message.data, type=Component))

        inbox = f"{self._link.inbox()}.{secrets.token_hex(2)}"
        listener = await self._link.listen(inbox, hear)
        try:
            await self._link.send("$SRV.PING", b"", None, inbox)
            await asyncio.sleep(timeout)
        finally:
            await self._link.unlisten(listener)
        return sorted(found, key=lambda component: (component.name, component.id))

    def keys(self, bucket: Bucket) -> Keys:
        """A bucket."""
        return JetStreamKeys(self._link, bucket)

    async def open_stream(self, stream_id: str, side: str) -> ByteStream:
        """One end of a byte stream."""
        return await bytestream.open_end(self, stream_id, side)

    async def ready(self) -> bool:
        """Whether the server answers a ping within a second."""
        try:
            await self._link.flush(1.0)
        except Unavailable:
            return False
        return True

    async def close(self) -> None:
        """Drain and close."""
        await self._link.close()


class _Subscription:
    def __init__(self, queue: asyncio.Queue[Received]) -> None:
        self._queue = queue

    def __aiter__(self) -> AsyncIterator[Received]:
        return self

    async def __anext__(self) -> Received:
        return await self._queue.get()


@asynccontextmanager
async def connect(
    url: str,
    name: str,
    *,
    user: str = "",
    password: str = "",
    inbox_prefix: str = "",
    tls: ssl.SSLContext | None = None,
    wait_seconds: float = 2.0,
) -> AsyncIterator[JetStreamBus]:
    """The bus of service `name` while the context lasts.

    `inbox_prefix` is `_INBOX_<user>` where a user is given: each may only hear its own
    (users.py). Waits at most `wait_seconds` for the server; where it is not there, the bus
    raises Unavailable until it is, and what was served or subscribed meanwhile counts then.
    """
    prefix = inbox_prefix or (f"_INBOX_{user}" if user else "_INBOX")
    link = Link(url, name, user=user, password=password, inbox_prefix=prefix, tls=tls)
    await link.start()
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_seconds):
                await link.connected.wait()
        yield JetStreamBus(link)
    finally:
        await link.close()


def _is_bus(bus: JetStreamBus) -> Bus:
    return bus
