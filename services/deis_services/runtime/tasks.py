"""One-off commands and builds: one process each, joined to a byte stream (api.md 11, DESIGN 5).

Who listens may go away. A command with a terminal then ends with SIGHUP, as Heroku's do; one
without and a build go on to their end. A stream that is cancelled (a revoked right, Ctrl-C)
ends its task. A build belongs to the builder's lease: when that expires, `stop` is called.
"""

import asyncio
import contextlib
import functools
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from deis_bus.clock import timestamp
from deis_bus.contracts.runtime import BuildRun, Instance, RunTask
from deis_bus.errors import BusError, Refused, Transient
from deis_bus.events.processes import RunEnded
from deis_bus.ports import Bus, ByteStream
from deis_platform.embedded.keeper import Keeper
from deis_platform.loglines import LogShipper
from deis_platform.logs import get_logger
from deis_services.runtime.build_environment import passed, told
from deis_services.runtime.relay import Bounds, End, Relay
from deis_services.runtime.reports import Reports
from deis_services.runtime.spawn import CannotStart, Command, spawn
from deis_services.runtime.workspace import Workspace

log = get_logger(__name__)

STOP_SECONDS = 5.0
MEGABYTE = 1024 * 1024
BUILDER = (sys.executable, "-I", "-m", "deis_services.slugbuilder")
T = TypeVar("T")
Work = Callable[[ByteStream], Coroutine[Any, Any, End]]


@dataclass(frozen=True, kw_only=True)
class Running:
    """A task that has not ended."""

    whole: "asyncio.Task[None]"
    stop: asyncio.Event
    """Set to end it; not cancelled, so that it always tells the other end of its stream."""
    appuuid: str
    instance: Instance | None = None


class Tasks:
    """Starts tasks, knows those that run, ends them."""

    def __init__(
        self,
        bus: Bus,
        workspace: Workspace,
        keeper: Keeper,
        shipper: LogShipper,
        build_env: str = "",
        reports: Reports | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._bus = bus
        self._workspace = workspace
        self._keeper = keeper
        self._shipper = shipper
        self._reports = reports
        self._build_environ = passed(build_env, environ)
        self._running: dict[str, Running] = {}
        self._ending = False

    async def run(self, task: RunTask) -> None:
        """Start a one-off command. Raises Refused 409 `running` where that instance is there."""
        instance = Instance(
            name=task.instance,
            type="run",
            release=task.release,
            state="up",
            started=timestamp(),
        )
        work = functools.partial(self._run, task)
        await self._begin(f"run {task.instance}", task.stream, task.appuuid, work, instance)

    async def build(self, task: BuildRun) -> None:
        """Start a build. Raises Refused 409 `running` while one of that id runs."""
        if task.kind not in ("", "buildpack"):
            raise Refused(400, f"This platform makes no builds of kind {task.kind}")
        work = functools.partial(self._build, task)
        await self._begin(f"build {task.id}", task.stream, task.appuuid, work)

    async def stop(self, build: str) -> None:
        """End a build with everything it started; returns once it is gone."""
        await self._end(f"build {build}")

    def running(self, appuuid: str) -> tuple[Instance, ...]:
        """One-off commands of an application."""
        return tuple(
            one.instance
            for one in self._running.values()
            if one.appuuid == appuuid and one.instance is not None
        )

    async def end_app(self, appuuid: str) -> None:
        """End every command and build of an application; returns once they are gone."""
        keys = [key for key, one in self._running.items() if one.appuuid == appuuid]
        await self._end(*keys)

    async def close(self) -> None:
        """End everything, bounded; nothing is started any more."""
        self._ending = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._end(*self._running), STOP_SECONDS)

    async def _end(self, *keys: str) -> None:
        ending = [self._running[key] for key in keys if key in self._running]
        for one in ending:
            one.stop.set()
        if ending:
            await asyncio.wait({one.whole for one in ending})

    async def _begin(
        self, key: str, stream: str, appuuid: str, work: Work, instance: Instance | None = None
    ) -> None:
        if self._ending:
            raise Refused(503, "the runtime is stopping")
        if key in self._running:
            raise Refused(409, f"{key} is running already", "running")
        stop = asyncio.Event()
        whole = asyncio.create_task(self._whole(key, stream, work, stop), name=key)
        self._running[key] = Running(whole=whole, stop=stop, appuuid=appuuid, instance=instance)
        whole.add_done_callback(functools.partial(self._forget, key))

    def _forget(self, key: str, whole: "asyncio.Task[None]") -> None:
        self._running.pop(key, None)
        if not whole.cancelled() and whole.exception() is not None:
            log.error("task failed", task=key, exc_info=whole.exception())

    async def _whole(self, key: str, stream_id: str, work: Work, stop: asyncio.Event) -> None:
        try:
            stream = await self._bus.open_stream(stream_id, "acceptor")
        except BusError as fault:
            log.warning("task without a stream", task=key, fault=str(fault))
            return
        try:
            await _tell(stream, await _unless(stop, work(stream)))
        except (CannotStart, Refused, Transient) as fault:
            log.info("task cannot run", task=key, fault=str(fault))
            await stream.cancel(str(fault))
        except OSError as fault:
            log.warning("task cannot run", task=key, fault=str(fault))
            await stream.cancel(f"This machine cannot run it: {fault.strerror}")
        finally:
            await stream.close()

    async def _run(self, task: RunTask, stream: ByteStream) -> End:
        workspace = self._workspace
        end = End(1, "it did not start")
        try:
            prepared = await workspace.prepare(task.app, task.appuuid, task.artifact)
            command = replace(
                workspace.start(
                    prepared, "run", task.command, task.environment, None, task.instance
                ),
                memory_bytes=task.memory_bytes,
                cpus=task.cpus,
                terminal=(task.columns, task.rows) if task.tty else None,
                stdin=True,
            )
            bounds = Bounds(
                seconds=task.time_limit_seconds,
                late=f"Timed out ({task.time_limit_seconds / 60:g} mins) while running",
                hangs_up=task.tty,
            )
            child = await spawn(command, self._keeper)
            end = await Relay(child, stream, bounds).run()
            return end
        finally:
            await workspace.done(task.appuuid, task.instance)
            await self._ended(task, end)

    async def _ended(self, task: RunTask, end: End) -> None:
        text = f"{task.instance} ended with exit code {end.code}"
        await self._shipper.platform_line(task.app, task.appuuid, "runtime", "INFO", text)
        if self._reports is not None:
            event = RunEnded(instance=task.instance, exit_code=end.code)
            self._reports.tell(task.app, task.appuuid, event)

    async def _build(self, task: BuildRun, stream: ByteStream) -> End:
        bounds = Bounds(
            seconds=task.time_limit_seconds,
            late=f"The build took longer than {task.time_limit_seconds / 60:g} min and was ended",
            output_bytes=task.output_limit_bytes,
            too_much=(
                f"The build printed more than {task.output_limit_bytes / MEGABYTE:g} MB"
                " and was ended"
            ),
        )
        try:
            child = await spawn(await self._builder(task), self._keeper)
            end = await Relay(child, stream, bounds).run()
        finally:
            await self._workspace.build_done(task.id)
        if end.words:
            await _say(stream, f"-----> {end.words}\n")
        return End(end.code)

    async def _builder(self, task: BuildRun) -> Command:
        making = asyncio.to_thread(self._workspace.build_space, task.id, dict(task.environment))
        space = await _to_its_end(making)
        return Command(
            argv=BUILDER,
            cwd=space.work,
            environment={
                **self._workspace.base,
                **self._build_environ,
                "HOME": str(space.work / "home"),
                "TMPDIR": str(space.temporary),
                **told(task, str(space.env_dir)),
            },
            owner=space.owner,
            memory_bytes=task.memory_bytes,
            home=space.folder,
            limits=self._workspace.limits,
        )


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, End]) -> End:
    """The end of the work, or of the wait for it."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        return End(1, "it was ended by the platform")
    finally:
        stopping.cancel()
        working.cancel()
        await asyncio.wait({working, stopping})


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """A thread cannot be cancelled: what comes after must not meet it still at work."""
    working = asyncio.create_task(work)
    try:
        return await asyncio.shield(working)
    finally:
        await asyncio.wait({working})


async def _tell(stream: ByteStream, end: End) -> None:
    """The end of a task to who still listens."""
    with contextlib.suppress(BusError):
        if end.words:
            await stream.cancel(end.words)
        else:
            await stream.exit(end.code)


async def _say(stream: ByteStream, text: str) -> None:
    with contextlib.suppress(BusError):
        await stream.send(text.encode())
