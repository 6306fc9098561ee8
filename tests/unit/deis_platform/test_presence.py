"""A service is found on the bus, whenever the bus is there."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec
import pytest

from deis_bus.errors import Refused, Unavailable
from deis_bus.memory import MemoryBroker
from deis_bus.ports import Endpoint, ServiceInfo
from deis_bus.rpc import Context, Method, call
from deis_platform import presence
from deis_platform.presence import Presence


class Said(msgspec.Struct, frozen=True):
    """What is said."""

    text: str


ECHO = Method("logger", "logs.echo", Said, Said)


async def echo(question: Said, _: Context) -> Said:
    if not question.text:
        raise LookupError("a bug")
    return question


async def test_found_and_asked_while_it_runs() -> None:
    broker, stop = MemoryBroker(), asyncio.Event()
    part = Presence(broker.bus("logger"), "logger", "keeps lines", {ECHO: echo})
    task = asyncio.create_task(part.run(stop))
    await part.serving.wait()
    other = broker.bus("manager")
    found = (await other.discover())[0]
    assert found.name == "logger"
    assert {"started", "host", "pid"} <= found.metadata.keys()
    assert await call(other, ECHO, Said("x")) == Said("x")
    with pytest.raises(Refused, match="Server Error"):
        await call(other, ECHO, Said(""))
    stop.set()
    await task
    assert await other.discover() == []
    assert not part.serving.is_set()


async def test_tried_again_while_the_bus_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "PAUSE_SECONDS", 0.01)
    bus = MemoryBroker().bus("logger")
    real, tries = bus.serve, 0

    @asynccontextmanager
    async def serve(info: ServiceInfo, endpoints: Mapping[str, Endpoint]) -> AsyncIterator[None]:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise Unavailable("away")
        async with real(info, endpoints):
            yield

    monkeypatch.setattr(bus, "serve", serve)
    stop = asyncio.Event()
    part = Presence(bus, "logger", "keeps lines")
    task = asyncio.create_task(part.run(stop))
    await part.serving.wait()
    assert tries == 3
    stop.set()
    await task
