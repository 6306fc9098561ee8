"""A durable consumer's messages, and how each of them ends."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping

from nats.aio.msg import Msg

from deis_bus import subjects
from deis_bus.errors import Transient
from deis_bus.jetstream import api
from deis_bus.jetstream.link import Link
from deis_bus.jetstream.pull import ConsumerLost, Pull, position
from deis_bus.jetstream.store import store
from deis_bus.letters import dead_headers
from deis_bus.ports import Message
from deis_bus.streams import Durable

BATCH = 64
LOST_SECONDS = 0.2


class JetStreamMessage:
    """One delivery. Ending it is told to the server without waiting for its word: a lost ack
    only means that the message comes again."""

    __slots__ = ("_durable", "_link", "_reply", "attempt", "data", "headers", "sequence", "subject")

    def __init__(self, link: Link, durable: Durable, message: Msg) -> None:
        place = position(message.reply)
        self.subject: str = message.subject
        self.headers: Mapping[str, str] = message.headers or {}
        self.data: bytes = message.data
        self.sequence = place.sequence
        self.attempt = place.attempt
        self._reply = message.reply
        self._link = link
        self._durable = durable

    async def done(self) -> None:
        """Ack."""
        await self._link.send(self._reply, b"+ACK")

    async def retry_later(self, seconds: float) -> None:
        """Nak with a delay."""
        delay = max(1, int(seconds * api.NANOS))
        await self._link.send(self._reply, b'-NAK {"delay":%d}' % delay)

    async def working(self) -> None:
        """Start the ack wait anew."""
        await self._link.send(self._reply, b"+WPI")

    async def bury(self, reason: str) -> None:
        """Store a copy under `deis.dead.…`, then end it; a second try stores nothing twice."""
        headers = dead_headers(self, self._durable, reason)
        await store(self._link, subjects.dead(self.subject), self.data, headers)
        self._link.counts.buried += 1
        await self._link.send(self._reply, b"+TERM")


class JetStreamInbox:
    """A durable pull consumer; replicas of a service share its messages."""

    def __init__(self, link: Link, durable: Durable) -> None:
        self.name = durable.name
        self._link = link
        self._durable = durable

    async def messages(self) -> AsyncGenerator[Message, None]:
        """Messages for ever; the consumer is made anew where it was lost with its stream."""
        durable = self._durable
        batch = min(BATCH, durable.max_in_flight)
        while True:
            with contextlib.suppress(ConsumerLost):
                async with Pull(self._link, durable.stream, durable.name, batch) as pull:
                    try:
                        while True:
                            yield JetStreamMessage(self._link, durable, await pull.next())
                    finally:
                        await self._give_back(pull)
            await asyncio.sleep(LOST_SECONDS)
            with contextlib.suppress(Transient):
                await api.ensure_durable(self._link, durable)

    async def _give_back(self, pull: Pull) -> None:
        # Else nobody would have these before the ack wait is over.
        for message in await pull.rest():
            with contextlib.suppress(Transient):
                await self._link.send(message.reply, b"-NAK")
