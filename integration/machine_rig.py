"""One machine with the runtime service, the bus and a router that follows its routes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from deis_bus import subjects
from deis_bus.contracts.runtime import AppSpec, AppStatus, Artifact, Process
from deis_bus.errors import Transient
from deis_bus.jetstream import JetStreamBus, connect
from deis_bus.ports import Subscription
from deis_bus.streams import BUCKETS, STREAMS
from deis_platform.runtime.local import LocalRuntime
from integration.runtime_rig import (
    APPS,
    Artifacts,
    Router,
    answering,
    following,
    service,
    settings,
    slug,
)
from integration.servers import RunningNats, nats_server, until
from tests.behaviour.runtime import APP


class Machine:
    """A bus, artifacts, a router, and the folder of a runtime that may run or not."""

    def __init__(self, folder: Path, nats: RunningNats, bus: JetStreamBus, router: Router) -> None:
        self.nats = nats
        self.bus = bus
        self.router = router
        self.artifacts = Artifacts()
        self.runtime = LocalRuntime(bus)
        self.settings = settings(nats.url, folder)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The service, until the end of the context."""
        async with service(self.settings):
            await answering(self.runtime)
            yield

    def sample(self, name: str, **extra: str) -> Artifact:
        """One of the sample applications, with more files."""
        return self.artifacts.add(name, slug(APPS / name, extra))

    def spec(
        self, generation: int, artifact: Artifact, *processes: Process, **more: float
    ) -> AppSpec:
        """A release numbered like its generation."""
        return self.release(generation, generation, artifact, *processes, **more)

    def release(
        self, generation: int, release: int, artifact: Artifact, *processes: Process, **more: float
    ) -> AppSpec:
        """A spec; without processes one web server."""
        return AppSpec(
            app=APP.app,
            appuuid=APP.appuuid,
            generation=generation,
            release=release,
            artifact=artifact,
            environment={"WORKFLOW_RELEASE": f"v{release}"},
            processes=processes or (web(),),
            **more,  # type: ignore[arg-type]
        )

    async def deploy(self, spec: AppSpec) -> AppStatus:
        """Apply and wait until it is all there is."""

        async def applied() -> bool:
            with contextlib.suppress(Transient):
                await self.runtime.apply(spec)
                return True
            return False

        await until(applied, "the spec is taken")
        return await self.status(lambda s: s.settled and s.generation == spec.generation)

    async def status(self, condition: Callable[[AppStatus], bool]) -> AppStatus:
        """The first status that fulfils it; the bus may be away for a moment."""
        found: list[AppStatus] = []

        async def holds() -> bool:
            with contextlib.suppress(Transient):
                found[:] = [await self.runtime.status(APP)]
                return condition(found[0])
            return False

        try:
            await until(holds, "that status")
        except AssertionError:
            raise AssertionError(f"never: last was {found}") from None
        return found[0]

    def gate(self) -> tuple[Path, str]:
        """A file, and the command of a web server that ends at once while the file is away."""
        gate = self.settings.folder.parent / "gate"
        gate.touch()
        return gate, f"test -e {gate} && exec python3 server; exit 3"

    def processes(self) -> set[int]:
        """Everything that runs with a HOME in the runtime's folder."""
        home = b"HOME=" + bytes(self.settings.folder)
        return {int(p.name) for p in Path("/proc").iterdir() if _has(p, home)}

    @asynccontextmanager
    async def lines(self) -> AsyncIterator[list[str]]:
        """The log lines that are shipped meanwhile."""
        lines: list[str] = []

        async def hear(heard: Subscription) -> None:
            async for batch in heard:
                assert batch.headers["appuuid"] == APP.appuuid
                lines.extend(batch.data.decode().split("\n"))

        async with self.bus.subscribe(subjects.log(APP.app)) as heard:
            hearing = asyncio.create_task(hear(heard))
            yield lines
            hearing.cancel()

    @asynccontextmanager
    async def reports(self) -> AsyncIterator[list[tuple[str, dict[str, Any]]]]:
        """What is reported meanwhile: type and event."""
        told: list[tuple[str, dict[str, Any]]] = []

        async def hear(heard: Subscription) -> None:
            async for report in heard:
                assert report.headers["ce-appuuid"] == APP.appuuid
                told.append((report.headers["ce-type"], msgspec.json.decode(report.data)))

        async with self.bus.subscribe(subjects.REPORTS) as heard:
            hearing = asyncio.create_task(hear(heard))
            yield told
            hearing.cancel()


def _has(process: Path, home: bytes) -> bool:
    if not process.name.isdigit():
        return False
    try:
        return home in (process / "environ").read_bytes()
    except OSError:
        return False


def web(count: int = 1, command: str = "python3 server", grace: float = 5.0) -> Process:
    """The routable process type."""
    return Process(type="web", count=count, command=command, routable=True, grace_seconds=grace)


@asynccontextmanager
async def machine_in(tmp_path: Path) -> AsyncIterator[Machine]:
    """With servers of its own; at the end no process may be left."""
    async with (
        nats_server(tmp_path) as nats,
        connect(nats.url, "controller") as bus,
        connect(nats.url, "router") as routers,
    ):
        await bus.ensure(STREAMS, BUCKETS)
        async with following(routers) as router:
            machine = Machine(tmp_path, nats, bus, router)
            async with machine.artifacts.serving():
                yield machine
                assert machine.processes() == set(), "left behind"


def states(told: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """The states that were reported, in order."""
    return [event["state"] for kind, event in told if kind == "instance.changed"]


async def fetch(address: str, path: str = "/") -> str:
    """The page of an instance, over a connection of its own."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
        session.get(f"http://{address}{path}") as answer,
    ):
        answer.raise_for_status()
        return await answer.text()
