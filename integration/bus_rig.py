"""Two services on a real NATS server whose streams are new for each test."""

import os
from collections.abc import AsyncIterator

import msgspec
import pytest

from deis_bus.errors import Transient
from deis_bus.jetstream import JetStreamBus, connect
from deis_bus.streams import BUCKETS, STREAMS
from integration.servers import RunningNats, until


class OnNats:
    """Gives the fixtures that the behaviour suites of the bus ask for."""

    @pytest.fixture
    async def bus(self, nats: RunningNats) -> AsyncIterator[JetStreamBus]:
        async with connect(nats.url, "controller") as bus:
            await until(bus.ready, "the server")
            await wipe(bus, nats)
            await until(lambda: _made(bus), "streams of this test")
            yield bus

    @pytest.fixture
    async def other(self, nats: RunningNats, bus: JetStreamBus) -> AsyncIterator[JetStreamBus]:
        async with connect(nats.url, "builder") as other:
            await until(other.ready, "the server")
            yield other


def _gone(nats: RunningNats) -> bool:
    """The server deletes files after it has said that it did; a stream made meanwhile finds them."""
    try:
        return not os.listdir(nats.streams)
    except FileNotFoundError:  # it deletes the folder around them, too
        return True


async def _made(bus: JetStreamBus) -> bool:
    try:
        await bus.ensure(STREAMS, BUCKETS)
    except Transient:
        return False
    return True


async def wipe(bus: JetStreamBus, nats: RunningNats) -> None:
    """Delete every stream with its consumers and buckets; returns once they are off the disk."""
    listed = await bus.request("$JS.API.STREAM.NAMES", b"", {}, 5.0)
    for name in msgspec.json.decode(listed.data)["streams"] or []:
        await bus.request(f"$JS.API.STREAM.DELETE.{name}", b"", {}, 5.0)
    await until(lambda: _gone(nats), "the old streams are off the disk")
