"""The log shipper as a service: one a node (decision 0020)."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from deis_bus.ports import Bus
from deis_platform.buses import open_bus
from deis_platform.health import HealthServer
from deis_platform.kubernetes import open_kubernetes
from deis_platform.metrics import LoopLag, Metrics
from deis_platform.presence import Presence
from deis_platform.runner import run_parts, run_service, wait_for_stop
from deis_services.shipper.files import LogFolder
from deis_services.shipper.folders import Folders
from deis_services.shipper.pods import Pods
from deis_services.shipper.positions import Positions
from deis_services.shipper.settings import Settings
from deis_services.shipper.ship import Shipper

ABOUT = "log lines of a node's applications"


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run the shipper until `stop` is set; bus and API server may come later."""
    metrics = Metrics("shipper")
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(open_bus(settings.bus, "shipper"))
        api = await stack.enter_async_context(open_kubernetes(settings.kubernetes))
        shipper, folders = assemble(bus, settings)
        pods = Pods(api, settings.node, shipper.known, shipper.forgotten)
        parts = (
            *pods.parts(),
            shipper,
            Presence(bus, "shipper", ABOUT),
            Figures(shipper, folders, metrics),
            LoopLag(metrics),
            HealthServer(settings.health, metrics, {"bus": bus.ready, "pods": pods.ready}),
        )
        await run_parts(parts, stop)


def assemble(bus: Bus, settings: Settings) -> tuple[Shipper, Folders]:
    """The shipper as it goes on from where it was."""
    positions = Positions(settings.folder)
    folders = Folders(LogFolder(settings.pods), positions.load())
    return Shipper(bus, folders, positions, settings.files), folders


class Figures:
    """A part: the shipper's numbers as metrics, once a second."""

    name = "figures"

    def __init__(self, shipper: Shipper, folders: Folders, metrics: Metrics) -> None:
        counts = folders.counts
        read: dict[tuple[str, str], Callable[[], float]] = {
            ("shipper_lines", "lines sent since the start"): lambda: shipper.lines,
            ("shipper_bytes", "bytes of these lines"): lambda: shipper.bytes,
            ("shipper_batches", "messages they were sent in"): lambda: shipper.batches,
            ("shipper_refused_rounds", "sent again later"): lambda: shipper.refusals,
            ("shipper_lag_seconds", "between a line and its sending"): lambda: shipper.lag,
            ("shipper_behind_bytes", "written and not read"): folders.behind,
            ("shipper_containers", "containers that are followed"): lambda: len(folders.tails),
            ("shipper_open_files", "log files that are open"): lambda: folders.opened,
            ("shipper_lost_lines", "removed before they were read, about"): lambda: counts.lost,
            ("shipper_malformed_entries", "in no known format"): lambda: counts.malformed,
            ("shipper_refused_files", "links and others"): lambda: counts.refused,
        }
        self._read = [(metrics.gauge(*named), number) for named, number in read.items()]

    async def run(self, stop: asyncio.Event) -> None:
        """Keep them up to date until stopped."""
        while True:
            for gauge, number in self._read:
                gauge.set(number())
            if await wait_for_stop(stop, 1.0):
                return


def main() -> None:
    """The log shipper as a process of its own."""
    run_service(serve, Settings)
