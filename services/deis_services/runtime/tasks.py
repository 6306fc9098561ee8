"""One-off commands and builds: one process each, joined to a byte stream (api.md 11, DESIGN 5).

Who listens may go away. A command with a terminal then ends with SIGHUP, as Heroku's do; one
without and a build go on to their end. A stream that is cancelled (a revoked right, Ctrl-C)
ends its task. A build belongs to the builder's lease: when that expires, `stop` is called.
"""

import asyncio
import contextlib
import functools
import os
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from deis_bus.clock import timestamp
from deis_bus.contracts.runtime import BuildJoin, BuildRun, Instance, RunTask
from deis_bus.errors import BusError, Refused, Transient
from deis_bus.events.processes import RunEnded
from deis_bus.ports import Bus, ByteStream
from deis_platform.build_environment import passed, told
from deis_platform.embedded.keeper import Keeper
from deis_platform.loglines import LogShipper
from deis_platform.logs import get_logger
from deis_platform.races import unless
from deis_platform.reports import Reports
from deis_services.runtime.relay import Bounds, End, Relay
from deis_services.runtime.spawn import CannotStart, Command, NotNow, spawn
from deis_services.runtime.spool import Spool
from deis_services.runtime.workspace import Workspace

log = get_logger(__name__)

STOP_SECONDS = 5.0
KEPT_SECONDS = 300.0
"""How long the output of an ended build is kept for a builder that has lost its stream."""
MEGABYTE = 1024 * 1024
T = TypeVar("T")
Work = Callable[[ByteStream], Coroutine[Any, Any, End]]
Whole = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


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
        self._spools: dict[str, Spool] = {}
        """Of each build that runs, or ended a while ago."""
        self._players: set[asyncio.Task[None]] = set()
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
        key = f"run {task.instance}"
        whole = functools.partial(self._whole, key, task.stream, work)
        self._begin(key, task.appuuid, whole, instance)

    async def build(self, task: BuildRun) -> None:
        """Start a build. Raises Refused 409 `running` while one of that id runs."""
        if task.kind not in ("", "buildpack"):
            raise Refused(400, f"This platform makes no builds of kind {task.kind}")
        spool = Spool()
        whole = functools.partial(self._whole_build, task, spool)
        self._begin(f"build {task.id}", task.appuuid, whole)
        self._spools[task.id] = spool
        self._play(spool, task.stream, 0)

    def join(self, join: BuildJoin) -> None:
        """Go on with a build's output over another stream. Raises Refused 404 where none is kept."""
        spool = self._spools.get(join.id)
        if spool is None:
            raise Refused(404, f"no output of build {join.id} is kept")
        self._play(spool, join.stream, join.heard)

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
            async with asyncio.timeout(STOP_SECONDS):
                await self._end(*self._running)
                await asyncio.gather(*self._players)
        players = tuple(self._players)
        for player in players:
            player.cancel()
        await asyncio.gather(*players, return_exceptions=True)

    async def _end(self, *keys: str) -> None:
        ending = [self._running[key] for key in keys if key in self._running]
        for one in ending:
            one.stop.set()
        if ending:
            await asyncio.wait({one.whole for one in ending})

    def _begin(self, key: str, appuuid: str, work: Whole, instance: Instance | None = None) -> None:
        if self._ending:
            raise Refused(503, "the runtime is stopping")
        if key in self._running:
            raise Refused(409, f"{key} is running already", "running")
        stop = asyncio.Event()
        whole = asyncio.create_task(work(stop), name=key)
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
            await _tell(stream, await _outcome(key, _unless(stop, work(stream))))
        finally:
            await stream.close()

    async def _whole_build(self, task: BuildRun, spool: Spool, stop: asyncio.Event) -> None:
        end = End(1, "this machine failed to run it")
        try:
            end = await _outcome(f"build {task.id}", _unless(stop, self._build(task, spool)))
        finally:
            spool.finish(end)
            asyncio.get_running_loop().call_later(KEPT_SECONDS, self._drop, task.id, spool)

    def _drop(self, build: str, spool: Spool) -> None:
        if self._spools.get(build) is spool:
            del self._spools[build]

    def _play(self, spool: Spool, stream_id: str, heard: int) -> None:
        spool.expect()
        player = asyncio.create_task(self._played(spool, stream_id, heard), name="build output")
        self._players.add(player)
        player.add_done_callback(self._players.discard)

    async def _played(self, spool: Spool, stream_id: str, heard: int) -> None:
        try:
            stream = await self._bus.open_stream(stream_id, "acceptor")
        except BusError as fault:
            log.warning("a build without a listener", fault=str(fault))
            return
        try:
            await spool.play(stream, heard)
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

    async def _build(self, task: BuildRun, spool: Spool) -> End:
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
            end = await Relay(child, spool, bounds).run()
        except NotNow:
            raise
        except (CannotStart, Refused) as fault:
            end = End(1, str(fault))  # for good: another attempt would hear the same
        finally:
            await self._workspace.build_done(task.id)
        if end.words:
            await spool.send(f"-----> {end.words}\n".encode())
        return End(end.code)

    async def _builder(self, task: BuildRun) -> Command:
        making = asyncio.to_thread(self._workspace.build_space, task.id, dict(task.environment))
        space = await _to_its_end(making)
        return Command(
            argv=self._workspace.programs.builder(),
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
    return await unless(stop, work) or End(1, "it was ended by the platform")


async def _outcome(key: str, work: Coroutine[Any, Any, End]) -> End:
    """How it ended; what cannot run here has ended with words."""
    try:
        return await work
    except (CannotStart, Refused, Transient) as fault:
        log.info("task cannot run", task=key, fault=str(fault))
        return End(1, str(fault))
    except OSError as fault:
        log.warning("task cannot run", task=key, fault=str(fault))
        return End(1, f"This machine cannot run it: {fault.strerror}")


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
