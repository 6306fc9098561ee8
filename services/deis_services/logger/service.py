"""The logger as a service (components.md 7.6 to 7.8)."""

import asyncio
from contextlib import AsyncExitStack

from deis_platform.buses import open_bus
from deis_platform.health import HealthServer
from deis_platform.metrics import LoopLag, Metrics
from deis_platform.presence import Presence
from deis_platform.runner import run_parts, run_service
from deis_services.logger.parts import Figures, Logger
from deis_services.logger.settings import Settings

ABOUT = "newest log lines of every application"


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run the logger until `stop` is set (docs/architecture.md); the bus may come later."""
    metrics = Metrics("logger")
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(open_bus(settings.bus, "logger"))
        logger = Logger(bus, settings)
        own = (
            Presence(bus, "logger", ABOUT, logger.handlers()),
            Figures(logger, bus, metrics),
            LoopLag(metrics),
            HealthServer(settings.health, metrics, {"bus": bus.ready}),
        )
        await run_parts((*logger.parts(), *own), stop)


def main() -> None:
    """The logger as a process of its own."""
    run_service(serve, Settings)
