"""Pulling messages of a consumer: one request for a batch at a time, watched by heartbeats."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self

import msgspec
from nats.aio.msg import Msg

from deis_bus.errors import BusError, Transient
from deis_bus.jetstream.api import NANOS
from deis_bus.jetstream.link import Link, Listener, status

HEARTBEAT_SECONDS = 5.0
EXPIRES_SECONDS = 60.0
PAUSE_SECONDS = 0.05


class ConsumerLost(BusError):
    """The consumer is not there any more; make it anew."""


class Position(msgspec.Struct, frozen=True):
    """Where a pulled message stands."""

    sequence: int
    """In the stream."""
    delivered: int
    """In the consumer: grows by one with each message, so a hole shows a loss."""
    attempt: int
    pending: int
    """How many more there are in the stream for this consumer."""


def position(reply: str) -> Position:
    """Of the reply subject of a pulled message: `$JS.ACK.` and 7 tokens, or 9 and more with a
    domain and an account before the stream."""
    tokens = reply.split(".")
    if len(tokens) > 9:
        tokens = tokens[:2] + tokens[4:]
    return Position(int(tokens[5]), int(tokens[6]), int(tokens[4]), int(tokens[8]))


class Pull:
    """Messages of one consumer, for one reader. Holds at most `batch` of them."""

    def __init__(self, link: Link, stream: str, consumer: str, batch: int) -> None:
        self._link = link
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._batch = batch
        self._inbox = link.inbox()
        self._round = 0
        self._due = 0
        self._queue: asyncio.Queue[Msg | None] = asyncio.Queue()
        self._listener: Listener | None = None

    async def __aenter__(self) -> Self:
        self._listener = await self._link.listen(f"{self._inbox}.*", self._queue.put)
        self._link.on_connect.add(self._again)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.rest()

    async def next(self) -> Msg:
        """The next message, however long it takes. Raises ConsumerLost."""
        while True:
            message = await self._take()
            if message is None:
                self._due = 0
                continue
            code = status(message)
            if not code:
                self._due = max(0, self._due - 1)
                return message
            if message.subject == f"{self._inbox}.{self._round}":
                await self._on_status(code, message)

    async def rest(self) -> list[Msg]:
        """Stop, and give what had come already."""
        self._link.on_connect.discard(self._again)
        if self._listener is not None:
            await self._link.unlisten(self._listener)
            self._listener = None
        held = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        return [message for message in held if message is not None and not status(message)]

    async def _take(self) -> Msg | None:
        if not self._queue.empty():
            return self._queue.get_nowait()
        if self._due == 0:
            await self._ask()
        try:
            async with asyncio.timeout(2 * HEARTBEAT_SECONDS):
                return await self._queue.get()
        except TimeoutError:
            return None

    async def _ask(self) -> None:
        question = {
            "batch": self._batch,
            "expires": int(EXPIRES_SECONDS * NANOS),
            "idle_heartbeat": int(HEARTBEAT_SECONDS * NANOS),
        }
        while True:
            await self._link.connected.wait()
            self._round += 1
            with contextlib.suppress(Transient):
                data = msgspec.json.encode(question)
                await self._link.send(self._next, data, None, f"{self._inbox}.{self._round}")
                self._due = self._batch
                return
            await asyncio.sleep(PAUSE_SECONDS)

    async def _on_status(self, code: str, message: Msg) -> None:
        if code == "100":
            return
        self._due = 0
        text = (message.headers or {}).get("Description", "").lower()
        if code == "503" or "consumer deleted" in text or "push based" in text:
            raise ConsumerLost(text or "no such consumer")
        if code not in ("404", "408"):
            await asyncio.sleep(PAUSE_SECONDS)

    def _again(self) -> None:
        # The server forgot our request with the connection.
        self._queue.put_nowait(None)
