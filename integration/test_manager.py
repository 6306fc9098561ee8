"""The manager on a real NATS server: who starts, who is missing, who is back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from deis_bus.contracts.components import COMPONENTS_LIST
from deis_bus.envelope import from_headers
from deis_bus.jetstream import JetStreamBus
from deis_bus.ports import Component, ServiceInfo
from deis_bus.rpc import Empty, call
from deis_bus.streams import REPORTS, Durable
from deis_platform.settings import load
from deis_services.manager.rules import MISSES, Roll
from deis_services.manager.service import serve
from deis_services.manager.settings import Settings
from deis_services.manager.watch import Watch
from integration.bus_rig import OnNats
from integration.servers import RunningNats, until

pytestmark = pytest.mark.server
CONTROLLER = Durable(name="controller", stream=REPORTS.name, filters=("deis.report.>",))


@asynccontextmanager
async def manager_on(url: str, **more: str) -> AsyncIterator[None]:
    """The service as it runs, with short pauses and some more settings."""
    environ = {
        "DEIS_NATS_URL": url,
        "DEIS_COMPONENTS": "router",
        "DEIS_MANAGER_SECONDS": "0.05",
        **more,
    }
    stop = asyncio.Event()
    task = asyncio.create_task(serve(load(Settings, environ), stop))
    try:
        yield
    finally:
        stop.set()
        await task


@asynccontextmanager
async def served(file: Path) -> AsyncIterator[str]:
    """The URL of a file on a web server."""

    async def give(_: web.Request) -> web.FileResponse:
        return web.FileResponse(file)

    app = web.Application()
    app.router.add_get("/versions.json", give)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/versions.json"
    finally:
        await runner.cleanup()


async def there(bus: JetStreamBus) -> bool:
    """Whether the manager answers."""
    return any(one.name == "manager" for one in await bus.discover(0.2))


class TestManager(OnNats):
    async def test_it_tells_who_starts_goes_and_comes_back(
        self, nats: RunningNats, bus: JetStreamBus, other: JetStreamBus
    ) -> None:
        router = ServiceInfo(name="router", version="1.2.3")
        inbox = await bus.inbox(CONTROLLER)
        async with manager_on(nats.url), contextlib.aclosing(inbox.messages()) as messages:

            async def told(kind: str) -> bytes:
                async for message in messages:
                    await message.done()
                    seen = from_headers(message.headers)
                    assert (seen.source, seen.subject) == ("manager", "_")
                    if seen.type == kind and b'"router"' in message.data:
                        return message.data
                raise AssertionError(kind)

            async with other.serve(router, {}):
                assert b'"version":"1.2.3"' in await told("component.started")
            assert b"router" in await told("component.missing")
            async with other.serve(router, {}):
                await told("component.returned")

    @pytest.mark.parametrize("kind", ["a path", "a file URL", "a URL"])
    async def test_newer_versions_come_from_the_feed_of_its_settings(
        self, nats: RunningNats, bus: JetStreamBus, other: JetStreamBus, tmp_path: Path, kind: str
    ) -> None:
        file = tmp_path / "versions.json"
        file.write_text('{"router": "1.3.0"}')
        problem = "outdated: 1.2.3 is installed, 1.3.0 is there"

        async def known() -> bool:
            found = await call(other, COMPONENTS_LIST, Empty())
            return any((one.name, one.problem) == ("router", problem) for one in found.components)

        async with served(file) as url:
            source = {"a path": str(file), "a file URL": f"file://{file}", "a URL": url}[kind]
            router = ServiceInfo(name="router", version="1.2.3")
            async with other.serve(router, {}), manager_on(nats.url, DEIS_VERSIONS_URL=source):
                await until(lambda: there(other), "the manager")
                await until(known, "a newer version")

    async def test_what_waits_goes_out_later_and_once(self, bus: JetStreamBus) -> None:
        info = ServiceInfo(name="manager", version="1.0.0")
        async with bus.serve(info, {}):
            watch = Watch(bus, Roll(("manager",)), 1.0)

            async def told() -> bool:
                await watch.once()
                return (await bus.stream_bounds("REPORTS"))[1] == 1

            await until(told, "a look that hears us")
            again = Watch(bus, Roll(("manager",)), 1.0)
            await again.once()
        assert not watch.waiting
        assert (await bus.stream_bounds("REPORTS"))[1] == 1, "one start is one report"

    async def test_a_look_that_hears_nobody_counts_for_nobody(self, bus: JetStreamBus) -> None:
        roll = Roll(("router",))
        roll.look([Component(name="router", id="r1", version="1")])
        watch = Watch(bus, roll, 1.0)
        for _ in range(MISSES):
            await watch.once()
        assert roll.missing == set()
        assert not watch.waiting
