"""What is written to the route table, and when the routers have it, on the memory bus."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from deis_bus.memory import MemoryBroker, MemoryBus
from deis_bus.routes import Applied, Upstreams
from deis_bus.streams import BUCKETS, ROUTERS, ROUTES
from deis_services.runtime import routes as module
from deis_services.runtime.routes import NEVER, Routes
from tests.behaviour.bus import until


@pytest.fixture
async def bus() -> MemoryBus:
    bus = MemoryBroker().bus("runtime")
    await bus.ensure((), BUCKETS)
    return bus


@contextlib.asynccontextmanager
async def running(bus: MemoryBus) -> AsyncIterator[Routes]:
    """The part, once it knows the present."""
    routes = Routes(bus)
    stop = asyncio.Event()
    task = asyncio.create_task(routes.run(stop))
    await routes.clean()
    yield routes
    stop.set()
    await task


def up(*addresses: str, app: str = "blog", appuuid: str = "u-1") -> Upstreams:
    """An entry."""
    return Upstreams(app=app, appuuid=appuuid, generation=1, addresses=addresses)


async def report(bus: MemoryBus, router: str, revision: int) -> None:
    """A router tells how far it is."""
    data = msgspec.json.encode(Applied(router=router, revision=revision))
    await bus.keys(ROUTERS).put(router, data)


async def held(bus: MemoryBus) -> dict[str, tuple[str, ...]]:
    """Addresses in the bucket, by key."""
    entries = await bus.keys(ROUTES).entries()
    return {e.key: msgspec.json.decode(e.data or b"", type=Upstreams).addresses for e in entries}


async def test_what_an_earlier_runtime_left_is_removed_but_nothing_of_the_controller(
    bus: MemoryBus,
) -> None:
    keys = bus.keys(ROUTES)
    await keys.put("up.shop", msgspec.json.encode(up("127.0.0.1:1", app="shop")))
    await keys.put("app.shop", msgspec.json.encode(up()))
    async with running(bus) as routes:
        assert (await held(bus)).keys() == {"app.shop"}
        await routes.put(up("127.0.0.1:2"))
        assert (await held(bus))["up.blog"] == ("127.0.0.1:2",)


async def test_every_live_router_is_waited_for(bus: MemoryBus) -> None:
    async with running(bus) as routes:
        revision = await routes.put(up("127.0.0.1:2"))
        assert await routes.confirmed(revision)
        await report(bus, "a", revision)
        await report(bus, "b", revision - 1)
        await until(lambda: not routes.dropped(revision))
        waiting = asyncio.create_task(routes.confirmed(revision))
        await asyncio.sleep(0)
        assert not waiting.done()
        await report(bus, "b", revision)
        assert await waiting
        await report(bus, "b", revision - 1)
        await until(lambda: not routes.dropped(revision))
        await bus.keys(ROUTERS).delete("b")
        await until(lambda: routes.dropped(revision))


async def test_a_late_router_is_given_up(bus: MemoryBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONFIRM_SECONDS", 0.01)
    async with running(bus) as routes:
        await report(bus, "a", 0)
        revision = await routes.put(up("127.0.0.1:2"))
        await until(lambda: not routes.dropped(revision))
        assert not await routes.confirmed(revision)


async def test_a_router_that_is_silent_for_its_time_to_live_is_dead(
    bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(bus) as routes:
        await report(bus, "a", 0)
        await bus.keys(ROUTERS).put("b", b"no report")
        await until(lambda: not routes.dropped(1))
        monkeypatch.setattr(module, "ALIVE_SECONDS", 0.0)
        assert routes.dropped(1)


async def test_a_router_that_could_not_report_is_waited_for_after_the_gap(bus: MemoryBus) -> None:
    async with running(bus) as routes:
        await report(bus, "a", 0)
        await until(lambda: not routes.dropped(1))
        routes._routers["a"] = (0, -float("inf"))  # the bus was away, and its report is over
        bus.broker.buckets[ROUTERS.name].entries.clear()
        assert routes.dropped(1)
        stop = asyncio.Event()
        again = asyncio.create_task(routes.run(stop))  # a watch begins anew after a gap
        await until(lambda: not routes.dropped(1))
        stop.set()
        await again


async def test_an_app_is_dropped_but_not_the_new_owner_of_its_name(bus: MemoryBus) -> None:
    async with running(bus) as routes:
        await routes.put(up("127.0.0.1:1"))
        revision = await routes.put(up("127.0.0.1:2", appuuid="u-2"))
        assert await routes.drop("blog", "u-1") == revision
        assert (await held(bus))["up.blog"] == ("127.0.0.1:2",)
        assert await routes.drop("blog", "u-2") > revision
        assert await held(bus) == {}


async def test_after_a_gap_what_is_wanted_is_there_and_nothing_else(bus: MemoryBus) -> None:
    async with running(bus) as routes:
        await routes.put(up("127.0.0.1:1"))
        await routes.put(up("127.0.0.1:2", app="shop"))
        await routes.put(up("127.0.0.1:3", app="gone"))
        bus.broker.switch.up = False
        assert await routes.drop("gone", "u-1") == NEVER
        bus.broker.switch.up = True
        keys = bus.keys(ROUTES)
        await keys.delete("up.blog")
        await keys.put("up.shop", b"nonsense")
        expected = {"up.blog": ("127.0.0.1:1",), "up.shop": ("127.0.0.1:2",)}

        async def mended() -> bool:
            try:
                return await held(bus) == expected
            except msgspec.DecodeError:
                return False

        stop = asyncio.Event()
        again = asyncio.create_task(routes.run(stop))  # a watch begins anew after a gap
        await until(mended)
        stop.set()
        await again
