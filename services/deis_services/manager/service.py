"""The manager as a service; one replica is enough, a second one would tell some things twice."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from deis_bus import dead
from deis_bus.contracts.components import COMPONENTS_LIST, ComponentList, ComponentState
from deis_bus.errors import BusError
from deis_bus.ports import Bus
from deis_bus.rpc import Context, Empty
from deis_platform.buses import open_bus
from deis_platform.health import HealthServer
from deis_platform.logs import get_logger
from deis_platform.metrics import LoopLag, Metrics
from deis_platform.presence import Presence
from deis_platform.runner import Part, run_parts, run_service, wait_for_stop
from deis_services.manager.feed import Feed
from deis_services.manager.model import on_bus, unheard
from deis_services.manager.rules import Roll
from deis_services.manager.settings import Settings
from deis_services.manager.watch import OWN, Watch

log = get_logger(__name__)

ABOUT = "which components run, against those that should"
FIGURES_SECONDS = 10.0
Listing = Callable[[], tuple[ComponentState, ...]]


class Figures:
    """A part: how many dead letters there are, and how many components are missing."""

    name = "figures"

    def __init__(self, bus: Bus, roll: Roll, metrics: Metrics) -> None:
        self._bus = bus
        self._roll = roll
        self._dead = metrics.gauge("dead_letters", "messages that nobody could handle")
        self._missing = metrics.gauge("components_missing", "components that should run")

    async def run(self, stop: asyncio.Event) -> None:
        """Keep them up to date until stopped."""
        while True:
            self._missing.set(len(self._roll.missing))
            try:
                self._dead.set(await dead.count(self._bus))
            except BusError as fault:
                log.debug("dead letters are not counted", fault=str(fault))
            if await wait_for_stop(stop, FIGURES_SECONDS):
                return


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run the manager until `stop` is set (docs/architecture.md); the bus may come later."""
    metrics = Metrics(OWN)
    roll = Roll(settings.components)
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(open_bus(settings.bus, OWN))
        feed = Feed(settings.feed, settings.feed_seconds)
        watch = Watch(bus, roll, settings.interval_seconds)
        more, listing = await _listing(settings, stack, feed, watch, roll)

        async def listed(_question: Empty, _context: Context) -> ComponentList:
            return ComponentList(listing())

        parts: tuple[Part, ...] = (
            watch,
            feed,
            *more,
            Presence(bus, OWN, ABOUT, {COMPONENTS_LIST: listed}),
            Figures(bus, roll, metrics),
            LoopLag(metrics),
            HealthServer(settings.health, metrics, {"bus": bus.ready}),
        )
        await run_parts(parts, stop)


async def _listing(
    settings: Settings, stack: AsyncExitStack, feed: Feed, watch: Watch, roll: Roll
) -> tuple[tuple[Part, ...], Listing]:
    """Who tells what is there: the cluster's workloads, else whoever answers on the bus."""
    if settings.runtime.kind == "local":
        return (), lambda: on_bus(settings.components, watch.seen, feed.latest)
    from deis_platform.kubernetes import open_kubernetes
    from deis_services.manager.cluster import Cluster

    api = await stack.enter_async_context(open_kubernetes(settings.cluster))
    cluster = Cluster(
        api,
        feed,
        watch.tell,
        expected=(*settings.components, *settings.servers),
        heard=settings.components,
    )
    watch.listeners.append(cluster.shown.hear)
    return cluster.parts, lambda: unheard(cluster.states(), roll.missing)


def main() -> None:
    """The manager as a process of its own."""
    run_service(serve, Settings)
