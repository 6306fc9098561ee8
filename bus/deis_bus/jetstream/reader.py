"""Reading a stream without acks, in order and whole: for replays and for buckets."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator

import msgspec
from nats.aio.msg import Msg

from deis_bus.errors import DeadlineExceeded, Transient
from deis_bus.jetstream import api
from deis_bus.jetstream.link import Link
from deis_bus.jetstream.pull import PAUSE_SECONDS, ConsumerLost, Pull, position
from deis_bus.ports import Received

BATCH = 256


class Read(msgspec.Struct, frozen=True):
    """A message of the stream and how many more there were just now."""

    message: Received
    pending: int


class Begun(msgspec.Struct, frozen=True):
    """The reading (re)begins: that many messages lie before it."""

    pending: int


async def read(
    link: Link, stream: str, filters: tuple[str, ...], *, start: int = 1, last: bool = False
) -> AsyncGenerator[Read | Begun, None]:
    """Messages from `start` on for ever; with `last` the last message of each subject first.

    After a loss it goes on behind the last message; with `last`, and where the stream was made
    anew meanwhile, from the beginning. `Begun` tells of each beginning.
    """
    created = ""
    while True:
        name = f"reader-{secrets.token_hex(8)}"
        config = api.reader_config(name, filters, start, last)
        try:
            await link.connected.wait()
            before, created = created, await made(link, stream)
            if before not in ("", created) and start > 1:
                start = 1
                continue
            answer = await api.call(
                link, f"CONSUMER.CREATE.{stream}.{name}", {"stream_name": stream, "config": config}
            )
            yield Begun(answer["num_pending"])
            async with Pull(link, stream, name, BATCH) as pull:
                async for item in _whole(pull):
                    yield item
                    start = item.message.sequence + 1
        except (Transient, ConsumerLost):
            await asyncio.sleep(PAUSE_SECONDS)
        finally:
            await _forget(link, stream, name)


async def present(
    link: Link, stream: str, filters: tuple[str, ...], *, start: int = 1, last: bool = False
) -> AsyncGenerator[Read, None]:
    """As `read`, but ends with what the stream holds now.

    Raises Unavailable where bus or stream is not there, DeadlineExceeded where no more comes.
    """
    await made(link, stream)
    async with contextlib.aclosing(read(link, stream, filters, start=start, last=last)) as reading:
        while True:
            try:
                async with asyncio.timeout(api.API_SECONDS):
                    item = await anext(reading)
            except TimeoutError as fault:
                raise DeadlineExceeded(f"stream {stream} was not read to its end") from fault
            if not isinstance(item, Begun):
                yield item
            if item.pending == 0:
                return


async def _whole(pull: Pull) -> AsyncGenerator[Read, None]:
    delivered = 0
    while True:
        message = await pull.next()
        place = position(message.reply)
        delivered += 1
        if place.delivered != delivered:
            raise ConsumerLost("a message was lost on the way")
        yield Read(received(message, place.sequence), place.pending)


async def made(link: Link, stream: str) -> str:
    """When the stream was made, as the server writes it."""
    info = await api.call(link, f"STREAM.INFO.{stream}")
    return str(info["created"])


def received(message: Msg, sequence: int = 0) -> Received:
    """The port's value of a message."""
    return Received(message.subject, message.headers or {}, message.data, sequence)


async def _forget(link: Link, stream: str, name: str) -> None:
    # Nobody waits for this: an unused reader ends by itself after 30 s.
    with contextlib.suppress(Transient):
        await link.send(f"$JS.API.CONSUMER.DELETE.{stream}.{name}", b"")
