"""The gateway as a service: the API and `artifacts`, each on an address of its own."""

import asyncio
from contextlib import AsyncExitStack

from deis_bus.ports import Bus
from deis_platform.buses import open_bus
from deis_platform.crypto import Keyring
from deis_platform.health import HealthServer
from deis_platform.metrics import LoopLag, Metrics
from deis_platform.objects import ObjectStore, open_objects
from deis_platform.presence import Presence
from deis_platform.runner import Part, run_parts, run_service
from deis_platform.webapp import WebServer
from deis_services.gateway.api import Gateway
from deis_services.gateway.artifacts import Artifacts
from deis_services.gateway.calls import Calls
from deis_services.gateway.credentials import Credentials
from deis_services.gateway.operations import Operations
from deis_services.gateway.rights import Rights, controller_ready
from deis_services.gateway.settings import Settings
from deis_services.gateway.streams.open_streams import Streams

SIGNING = "artifacts"
"""Purpose of the key that capability tokens are signed with; who signs derives the same."""


class Parts:
    """The gateway's parts, put together; none waits for the bus or for one of the others."""

    def __init__(self, settings: Settings, bus: Bus, objects: ObjectStore) -> None:
        keyring = Keyring.open(settings.platform.secret_file)
        metrics = Metrics("gateway")
        metrics.watch(bus.counts)
        calls = Calls(bus, Credentials(keyring), settings.deadline_seconds)
        operations = Operations(bus)
        self.rights = Rights(bus)
        self.streams = Streams(bus, calls, self.rights, settings.streams)
        opened = metrics.gauge("streams_open", "logs, events, build output and commands served now")
        opened.set_function(lambda: float(self.streams.open))
        gateway = Gateway(bus, calls, operations, self.streams, metrics, settings.body_bytes)
        artifacts = Artifacts(objects, keyring.derive(SIGNING), settings.artifact_bytes, metrics)
        self.objects = objects
        self.api = WebServer("api", gateway.app(), settings.address)
        self.artifacts = WebServer("artifacts", artifacts.app(), settings.artifacts)
        self.health = HealthServer(
            settings.health,
            metrics,
            {"bus": bus.ready, "controller": lambda: controller_ready(bus)},
        )
        presence = Presence(bus, "gateway", "HTTP in, one request on the bus out")
        self.all: tuple[Part, ...] = (
            self.api,
            self.artifacts,
            self.health,
            operations,
            self.rights,
            self.streams,
            presence,
            LoopLag(metrics),
        )


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run the gateway until `stop` is set (docs/architecture.md)."""
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(open_bus(settings.bus, "gateway"))
        objects = await stack.enter_async_context(open_objects(settings.objects))
        await run_parts(Parts(settings, bus, objects).all, stop)


def main() -> None:
    """The gateway as a process of its own."""
    run_service(serve, Settings)
