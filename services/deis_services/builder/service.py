"""The builder as a service: git over SSH, build workers, the cleaner."""

import asyncio
import os
import shutil
from contextlib import AsyncExitStack

from deis_bus.consumer import Consumer
from deis_bus.ports import Bus
from deis_platform.buses import open_bus
from deis_platform.crypto import Keyring
from deis_platform.health import HealthServer
from deis_platform.metrics import LoopLag, Metrics
from deis_platform.objects import ObjectStore, open_objects
from deis_platform.presence import Presence
from deis_platform.runner import Part, run_parts, run_service
from deis_platform.runtime.choose import OpenedBuilds, open_builds
from deis_services.builder import hook
from deis_services.builder.attempt import Workshop
from deis_services.builder.cleaner import Cleaner
from deis_services.builder.hostkeys import host_keys
from deis_services.builder.receive import Receiver
from deis_services.builder.repositories import Git, Repositories
from deis_services.builder.server import SshServer
from deis_services.builder.settings import Settings
from deis_services.builder.wake import DURABLE, Wake
from deis_services.builder.worker import BuildWorkers


class MissingGit(Exception):
    """There is no git to run."""


class Parts:
    """The builder's parts, put together. Raises MissingGit, CryptoError, OSError."""

    def __init__(
        self, settings: Settings, bus: Bus, objects: ObjectStore, builds: OpenedBuilds, search: str
    ) -> None:
        metrics = Metrics("builder")
        metrics.watch(bus.counts)
        settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        hook.install(settings.folder / "hooks")
        repositories = Repositories(settings.folder.absolute(), _git(settings.git, search))
        keyring = Keyring.open(settings.platform.secret_file)
        workshop = Workshop(
            bus=bus,
            runtime=builds.runtime,
            objects=objects,
            artifacts_url=settings.artifacts_url,
            key=keyring.derive("artifacts"),
        )
        self.receiver = Receiver(bus, objects, repositories, settings)
        self.ssh = SshServer(settings, self.receiver, host_keys(settings.folder), metrics)
        self.workers = BuildWorkers(
            workshop, settings.builds_at_once, settings.poll_seconds, metrics
        )
        self.cleaner = Cleaner(bus, objects, repositories, settings.clean_seconds)
        wake = Wake(self.workers.wake, self.cleaner)
        self.all: tuple[Part, ...] = (
            *builds.parts,
            self.ssh,
            self.workers,
            self.cleaner,
            Consumer(bus, DURABLE, wake.handlers(), "events"),
            HealthServer(settings.health, metrics, {"bus": bus.ready, "ssh": self._listens}),
            Presence(bus, "builder", "git over SSH, and build workers"),
            LoopLag(metrics),
        )

    async def _listens(self) -> bool:
        return self.ssh.listening.is_set()


def _git(program: str, search: str) -> Git:
    found = shutil.which(program, path=search)
    if found is None:
        raise MissingGit(f"there is no {program}: install git, or set DEIS_GIT")
    return Git(found, search)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run the builder until `stop` is set (docs/architecture.md)."""
    search = os.environ.get("PATH", os.defpath)
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(open_bus(settings.bus, "builder"))
        objects = await stack.enter_async_context(open_objects(settings.objects))
        builds = await stack.enter_async_context(
            open_builds(settings.runtime, settings.cluster, bus)
        )
        await run_parts(Parts(settings, bus, objects, builds, search).all, stop)


def main() -> None:
    """The builder as a process of its own."""
    run_service(serve, Settings)
