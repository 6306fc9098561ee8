"""The router as a service: nginx serves beside the source of its routes, be it the bus or a cluster,
which may come later or go away."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import structlog
from msgspec.structs import replace

from deis_bus.errors import Transient
from deis_bus.ports import Bus
from deis_platform.buses import open_bus
from deis_platform.embedded import binaries
from deis_platform.groups import BusSettings
from deis_platform.health import HealthServer
from deis_platform.metrics import LoopLag, Metrics
from deis_platform.presence import Presence
from deis_platform.runner import Part, run_parts, run_service, wait_for_stop
from deis_services.router.nginx import open_files, worker_user
from deis_services.router.parts import Plan, router
from deis_services.router.render import Layout
from deis_services.router.settings import Settings

log = structlog.get_logger(__name__)

ABOUT = "nginx with routes as data"
PAUSE_SECONDS = 1.0
GRACE_SECONDS = 3.0
"""More than nginx takes to finish what it has begun."""


class OnBus:
    """The parts that need the bus, for as long as it takes: nginx does not wait for them."""

    name = "bus"

    def __init__(
        self, settings: BusSettings, grace: float, parts: Callable[[Bus], tuple[Part, ...]]
    ) -> None:
        self._settings = settings
        self._grace = grace
        self._parts = parts

    async def run(self, stop: asyncio.Event) -> None:
        """Open the bus, whenever it comes, and run the parts on it until stopped."""
        while not stop.is_set():
            try:
                async with open_bus(self._settings, "router") as bus:
                    parts = (*self._parts(bus), Presence(bus, "router", ABOUT))
                    await run_parts(parts, stop, self._grace)
            except Transient as fault:
                log.warning("the bus is away, the last good routes stand", fault=str(fault))
                await wait_for_stop(stop, PAUSE_SECONDS)


def plan(settings: Settings) -> Plan:
    """Settings as a plan. Raises MissingProgram when there is no nginx."""
    cluster = settings.runtime == "kubernetes"
    layout = Layout(
        http=str(settings.http),
        https=str(settings.https or ""),
        user=worker_user(),
        workers=settings.workers,
        files=open_files(),
        connect_ms=round((settings.connect_seconds or (3 if cluster else 1)) * 1000),
        idle_seconds=settings.idle_seconds,
        shutdown_seconds=settings.shutdown_seconds,
        body_bytes=settings.body_bytes,
        health=str(settings.health_http or ""),
        public_http=settings.public_http,
        public_https=settings.public_https,
    )
    if cluster:
        layout = replace(
            layout,
            linger_seconds=settings.linger_seconds,
            git=str(settings.git or ""),
            access_log=settings.access_log,
            error_stream=True,
            table_mb=128,
            side_mb=64,
        )
    else:
        layout = replace(layout, api=str(settings.api), ports=settings.ports)
    return Plan(
        binary=binaries.nginx(settings.nginx),
        folder=settings.folder.absolute(),
        layout=layout,
        domain=settings.platform.domain,
        certificate=settings.certificate,
        key=settings.key,
        cluster=cluster,
    )


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run the router until `stop` is set (docs/architecture.md)."""
    metrics = Metrics("router")
    grace = settings.shutdown_seconds + GRACE_SECONDS
    async with router(plan(settings)) as live, AsyncExitStack() as stack:

        async def serving() -> bool:
            return live.server.serving.is_set()

        own = (
            live.server,
            LoopLag(metrics),
            HealthServer(settings.health, metrics, {"nginx": serving}),
        )
        if settings.runtime == "kubernetes":
            from deis_platform.kubernetes import open_kubernetes  # see `cluster_parts`

            api = await stack.enter_async_context(open_kubernetes(settings.kubernetes))
            cluster = live.cluster_parts(api, settings.certificates)
            bus = OnBus(settings.bus, grace, lambda _: ())
            await run_parts((*own, *cluster, bus), stop, grace)
        else:
            await run_parts((*own, OnBus(settings.bus, grace, live.bus_parts)), stop, grace)


def main() -> None:
    """The router as a process of its own."""
    run_service(serve, Settings)
