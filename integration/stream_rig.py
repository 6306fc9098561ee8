"""Tasks of one machine, and whoever hears them over a byte stream."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from deis_bus.clock import new_id
from deis_bus.contracts.runtime import Artifact, BuildRun, RunTask
from deis_bus.jetstream import JetStreamBus, connect
from deis_bus.ports import ByteStream
from deis_platform.embedded.keeper_process import alive, read_bytes
from deis_platform.loglines import LogShipper
from deis_platform.reports import Reports
from deis_services.runtime.tasks import Tasks
from integration.builder_objects import archive
from integration.hearing import Heard
from integration.servers import RunningNats, until
from integration.task_rig import UUID, Machine, machine

APPS = Path(__file__).parent / "apps"
NAME = "blog-run-abcde"
SOURCE, SLUG, CACHE = "sources/u/p.tar.gz", "slugs/u/p-1.tgz", "cache/u/cache.tgz"


class Rig:
    """Tasks of one machine, and the other end of their streams."""

    def __init__(self, here: Machine, tasks: Tasks, client: JetStreamBus, reports: Reports) -> None:
        self.here = here
        self.tasks = tasks
        self.client = client
        self.reports = reports
        self.slug: Artifact = here.artifact({"Procfile": "web: true\n", "data": "in the slug\n"})

    @asynccontextmanager
    async def running(self, command: str, **more: object) -> AsyncIterator[ByteStream]:
        """A one-off command; its stream, until the end of the context."""
        stream = await self.client.open_stream(new_id(), "opener")
        try:
            await self.tasks.run(self.task(command, stream.id, **more))
            yield stream
        finally:
            await stream.close()

    def task(self, command: str, stream: str, **more: object) -> RunTask:
        task = RunTask(
            app="blog",
            appuuid=UUID,
            release=3,
            instance=NAME,
            artifact=self.slug,
            environment={"GREETING": "hello"},
            command=command,
            stream=stream,
        )
        return msgspec.structs.replace(task, **more)

    async def run(self, command: str, **more: object) -> Heard:
        """A one-off command to its end."""
        async with self.running(command, **more) as stream:
            return await Heard().listen(stream)

    def source(self, files: dict[str, str | bytes]) -> None:
        store = self.here.store
        store.held[SOURCE] = archive(files)
        store.tokens |= {"t-source": SOURCE, "t-slug": SLUG, "t-cache": CACHE}

    def build_task(self, stream: str, **more: object) -> BuildRun:
        store = self.here.store
        task = BuildRun(
            id="p-1",
            kind="buildpack",
            app="blog",
            appuuid=UUID,
            sha="c0ffee",
            source_url=store.url(SOURCE),
            source_token="t-source",
            slug_url=store.url(SLUG),
            slug_token="t-slug",
            cache_url=store.url(CACHE),
            cache_token="t-cache",
            environment={"SECRET": "s3cret", "not a name": "x"},
            stream=stream,
        )
        return msgspec.structs.replace(task, **more)

    @asynccontextmanager
    async def building(self, **more: object) -> AsyncIterator[ByteStream]:
        """A build; its stream, until the end of the context."""
        stream = await self.client.open_stream(new_id(), "opener")
        try:
            await self.tasks.build(self.build_task(stream.id, **more))
            yield stream
        finally:
            await stream.close()

    async def build(self, **more: object) -> Heard:
        """A build to its end."""
        async with self.building(**more) as stream:
            return await Heard().listen(stream)

    async def idle(self) -> None:
        """Until no task runs and no folder of one is left."""
        places = [self.here.workspace.folder / name for name in ("run", "builds")]

        def quiet() -> bool:
            return not self.tasks.running(UUID) and not any(os.listdir(place) for place in places)

        await until(quiet, "the end of all tasks")
        assert not ours(self.here)


def ours(here: Machine) -> list[int]:
    """Processes with something of this workspace in their environment."""
    mark = os.fsencode(here.workspace.folder)
    return [stat[0] for stat in alive() if mark in read_bytes(f"/proc/{stat[0]}/environ")]


@asynccontextmanager
async def tasks_on(nats: RunningNats, tmp_path: Path) -> AsyncIterator[Rig]:
    """The tasks of a machine, and a client of their streams."""
    async with (
        connect(nats.url, "runtime") as bus,
        connect(nats.url, "builder") as client,
        machine(tmp_path) as here,
    ):
        reports = Reports(bus)
        environ = {**os.environ, "DEIS_SECRET_FILE": "/ours"}
        shipper = LogShipper(bus)
        tasks = Tasks(bus, here.workspace, here.keeper, shipper, "", reports, environ)
        made = Rig(here, tasks, client, reports)
        try:
            yield made
        finally:
            await tasks.close()
