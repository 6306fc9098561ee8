"""The runtime as a service: everything it started ends with it (DESIGN 6)."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from deis_bus.consumer import Consumer, Handler
from deis_bus.events import Event
from deis_bus.events.apps import AppDestroyed
from deis_bus.ports import Bus
from deis_platform.buses import open_bus
from deis_platform.embedded.keeper import Keeper
from deis_platform.health import HealthServer
from deis_platform.loglines import LogShipper
from deis_platform.metrics import LoopLag, Metrics
from deis_platform.presence import Presence
from deis_platform.races import unless
from deis_platform.reports import Reports
from deis_platform.runner import FunctionPart, Part, run_parts, run_service
from deis_services.runtime import images
from deis_services.runtime.apps import Apps
from deis_services.runtime.cleaning import DURABLE, Cleaner
from deis_services.runtime.endpoints import Endpoints
from deis_services.runtime.ports import PortPool
from deis_services.runtime.routes import Routes
from deis_services.runtime.settings import Settings
from deis_services.runtime.tasks import Tasks
from deis_services.runtime.tools import Tools
from deis_services.runtime.workspace import Workspace

log = structlog.get_logger(__name__)

ABOUT = "processes of applications and builds on this machine"
GRACE_SECONDS = 20.0
"""Longer than all instances together are given."""


@asynccontextmanager
async def opened(settings: Settings, bus: Bus) -> AsyncIterator[tuple[Tools, Tasks, Apps]]:
    """What runs processes; whatever an earlier runtime of this folder left is ended first."""
    folder = settings.folder.absolute()
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    # As root each application is a user of its own, who passes through.
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    workspace = Workspace(
        folder,
        images.load(settings.images),
        uids=settings.uids,
        slug_limit_bytes=settings.slug_bytes,
    )
    routes = Routes(bus)
    async with Keeper(folder, "runtime", homes=folder) as keeper:
        await workspace.clean()
        log.info("limits of applications", limits=workspace.limits.describe())
        shipper = LogShipper(bus)
        tools = Tools(
            keeper=keeper,
            workspace=workspace,
            shipper=shipper,
            reports=Reports(bus),
            routes=routes,
            ports=PortPool(settings.ports, routes.dropped),
        )
        tasks = Tasks(bus, workspace, keeper, shipper, settings.build_env, tools.reports)
        apps = Apps(tools, tasks)
        try:
            yield tools, tasks, apps
        finally:
            await apps.stop()


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run applications until `stop` is set, then end them (docs/architecture.md)."""
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(open_bus(settings.bus, "runtime"))
        tools, tasks, apps = await stack.enter_async_context(opened(settings, bus))
        metrics = Metrics("runtime")
        measure(metrics, apps)
        presence = Presence(bus, "runtime", ABOUT, Endpoints(apps, tasks).handlers())
        ended = asyncio.Event()

        async def answer(stop: asyncio.Event) -> None:
            # The table may hold addresses of an earlier runtime, whose ports would be reused.
            await unless(stop, tools.routes.clean())
            await presence.run(stop)
            await apps.stop()
            ended.set()

        cleaner = Cleaner(bus, apps)
        handlers: dict[type[Event], Handler] = {AppDestroyed: cleaner.on_destroyed}
        parts: tuple[Part, ...] = (
            FunctionPart("requests", answer),
            tools.routes,
            # What instances say while they end is still told.
            FunctionPart("reports", lambda _: tools.reports.run(ended)),
            FunctionPart("log shipper", lambda _: tools.shipper.run(ended)),
            cleaner,
            Consumer(bus, DURABLE, handlers, "destroyed applications", probe=bus.ready),
            HealthServer(
                settings.health, metrics, {"bus": bus.ready, "routes": tools.routes.ready}
            ),
            LoopLag(metrics),
        )
        await run_parts(parts, stop, GRACE_SECONDS)


def measure(metrics: Metrics, apps: Apps) -> None:
    """How many applications are held."""
    held = metrics.gauge("runtime_apps", "applications that something runs of")
    held.set_function(lambda: len(apps.held()))


def main() -> None:
    """The runtime as a process of its own."""
    run_service(serve, Settings)
