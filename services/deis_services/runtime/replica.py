"""One instance: its processes one after the other, until it is told to leave (DESIGN 6)."""

import asyncio
import contextlib
import dataclasses
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from deis_bus.clock import timestamp
from deis_bus.contracts.runtime import Instance, Process
from deis_bus.errors import Refused
from deis_bus.events.processes import InstanceCrashed
from deis_platform.loglines import app_line, platform_text
from deis_services.runtime.capture import capture
from deis_services.runtime.model import Member, ending, pause
from deis_services.runtime.ports import HOST, NoPort, is_free
from deis_services.runtime.ready import until_ready
from deis_services.runtime.spawn import CannotStart, Child, Command, spawn
from deis_services.runtime.tools import Tools
from deis_services.runtime.workspace import Prepared

log = structlog.get_logger(__name__)

STEADY_SECONDS = 60.0
"""Ready for so long, and earlier crashes are forgotten."""
DRAIN_SECONDS = 2.0
HOOK_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an instance is; never changes."""

    app: str
    appuuid: str
    name: str
    release: int
    artifact: str
    process: Process
    mark: str
    environment: dict[str, str]


Prepare = Callable[["Replica"], Awaitable[Prepared]]


class Replica:
    """States (api.md 10.2): initializing, creating, starting, up, error, terminating, down.

    `error` is the wait after a crash: shown by `ps`, as `crashed` would not be. `prepare` gives
    the artifact; `changed` is called after every change.
    """

    def __init__(
        self,
        plan: Plan,
        port: int,
        tools: Tools,
        prepare: Prepare,
        changed: Callable[["Replica"], None],
    ) -> None:
        self.plan = plan
        self.port = port
        self.state = "initializing"
        self.reason = ""
        self.ready = False
        self.leaving = False
        """Set when it was decided that it goes; `end` follows once no router knows it."""
        self.replaced = False
        self.restarts = 0
        self.crashes = 0
        """In a row."""
        self.hopeless = ""
        """Why it will never start, in words for the user."""
        self._started = ""
        self._ready_at = 0.0
        self._tools = tools
        self._prepare = prepare
        self._changed = changed
        self._leave = asyncio.Event()
        self._child: Child | None = None
        self._prepared: Prepared | None = None
        self._task = asyncio.create_task(self._run(), name=plan.name)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{HOST}:{self.port}"

    def member(self) -> Member:
        """For a decision."""
        return Member(
            name=self.plan.name,
            type=self.plan.process.type,
            mark=self.plan.mark,
            ready=self.ready,
            routable=self.plan.process.routable,
            replaced=self.replaced,
            leaving=self.leaving,
        )

    def instance(self) -> Instance:
        """For `ps`."""
        return Instance(
            name=self.plan.name,
            type=self.plan.process.type,
            release=self.plan.release,
            state="terminating" if self.leaving and self.state != "down" else self.state,
            started=self._started or timestamp(),
            address=self.address,
            reason=self.reason,
            restarts=self.restarts,
        )

    def say(self, reason: str) -> None:
        """Remember what it waits for."""
        self.reason = reason

    async def end(self, grace: float) -> None:
        """SIGTERM, after `grace` seconds SIGKILL for all it ever started; returns once gone."""
        self.leaving = True
        self._leave.set()
        self._set("terminating")
        child = self._child
        if child is not None:
            clock = asyncio.get_running_loop()
            deadline = clock.time() + grace
            await self._hook(self.plan.process.pre_stop, grace)
            child.signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await child.wait()
            await child.bury()
        await asyncio.wait({self._task})
        await self._clean(self.plan.name)
        self._set("down")

    async def _run(self) -> None:
        try:
            prepared = await self._unless_leaving(self._prepare(self))
            while prepared is not None and not self._leave.is_set():
                self._set("creating")
                await self._live_once(prepared)
                if self._leave.is_set():
                    return
                await self._unless_leaving(asyncio.sleep(pause(self.crashes)))
        except Refused as fault:
            self._give_up(fault.detail)
        except Exception as fault:
            # A bug costs its instance and nothing else, and is told.
            log.exception("instance failed", instance=self.plan.name, exc_info=fault)
            self._give_up("the runtime could not run it; its log says why")

    async def _live_once(self, prepared: Prepared) -> None:
        try:
            self._another_port_if_taken()
            code = await self._live(prepared)
        except (CannotStart, NoPort, OSError) as fault:
            self._crashed(f"could not be started: {fault}", 127)
        else:
            if not self._leave.is_set():
                self._crashed(ending(code), code)

    async def _live(self, prepared: Prepared) -> int:
        """One process from start to burial; gives its exit code."""
        process = self.plan.process
        command = self._command(prepared, process.command)
        self._started = timestamp()
        self._prepared = prepared
        child = await spawn(command, self._tools.keeper)
        self._child = child
        self._set("starting")
        readers = [asyncio.create_task(self._capture(r)) for r in (child.stdout, child.stderr) if r]
        watching = asyncio.create_task(self._watch())
        try:
            if self._leave.is_set():
                child.signal(signal.SIGKILL)
            return await child.wait()
        finally:
            self._gone()
            watching.cancel()
            await child.bury()
            self._child = None
            if readers:
                _, late = await asyncio.wait(readers, timeout=DRAIN_SECONDS)
                for reader in late:
                    reader.cancel()

    def _command(self, prepared: Prepared, line: str) -> Command:
        plan = self.plan
        command = self._tools.workspace.start(
            prepared, plan.process.type, line, plan.environment, self.port, plan.name
        )
        limits = {"memory_bytes": plan.process.memory_bytes, "cpus": plan.process.cpus}
        return dataclasses.replace(command, **limits)  # type: ignore[arg-type]

    async def _watch(self) -> None:
        """Until it is ready, which is told."""
        process = self.plan.process
        if await self._hook(process.post_start, HOOK_SECONDS):
            await until_ready(self.port, process.probe, process.routable, self.say)
            self.ready = True
            self._ready_at = asyncio.get_running_loop().time()
            self._set("up")
        elif self._child is not None:
            self._child.signal(signal.SIGKILL)

    async def _hook(self, line: str, seconds: float) -> bool:
        """Run a lifecycle command beside the process; whether it succeeded."""
        if not line or self._prepared is None:
            return True
        try:
            # Without the home as a mark: burying the hook must not touch the process beside it.
            command = dataclasses.replace(self._command(self._prepared, line), home=None)
            child = await spawn(command, self._tools.keeper)
        except (CannotStart, OSError) as fault:
            self._tell("WARNING", f"hook could not be started: {fault}")
            return False
        readers = [asyncio.create_task(self._capture(r)) for r in (child.stdout, child.stderr) if r]
        code = -1
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    code = await child.wait()
        finally:
            await child.bury()
            for reader in readers:
                reader.cancel()
        if code:
            self._tell(
                "WARNING", "hook did not end in time" if code < 0 else f"hook {ending(code)}"
            )
        return code == 0

    async def _clean(self, name: str) -> None:
        try:
            await self._tools.workspace.done(self.plan.appuuid, name)
        except OSError as fault:
            log.warning("folder not removed", instance=name, fault=str(fault))

    async def _capture(self, reader: asyncio.StreamReader) -> None:
        plan = self.plan

        def sink(line: bytes) -> None:
            text = line.decode(errors="replace")
            told = app_line(plan.app, plan.process.type, plan.release, plan.name, text)
            self._tools.shipper.line(plan.app, plan.appuuid, told)

        await capture(reader, sink)

    async def _unless_leaving(self, work: Awaitable[Prepared | None]) -> Prepared | None:
        """What `work` gives; None as soon as the instance has to leave."""
        working = asyncio.ensure_future(work)
        leaving = asyncio.create_task(self._leave.wait())
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else None
        finally:
            leaving.cancel()
            working.cancel()

    def _another_port_if_taken(self) -> None:
        """Somebody else may have begun to listen there; that port is not handed out again."""
        if not is_free(self.port):
            self.port = self._tools.ports.take(self.plan.appuuid)

    def _gone(self) -> None:
        if self.ready:
            self.ready = False
            if asyncio.get_running_loop().time() - self._ready_at > STEADY_SECONDS:
                self.crashes = 0
            self._changed(self)

    def _crashed(self, how: str, code: int) -> None:
        self.crashes += 1
        self.restarts += 1
        again = pause(self.crashes)
        self._tell("WARNING", f"{how}, starting it again in {again:g} s")
        plan = self.plan
        event = InstanceCrashed(
            instance=plan.name,
            process_type=plan.process.type,
            version=plan.release,
            exit_code=code,
            restarts=self.crashes,
        )
        self._tools.reports.tell(plan.app, plan.appuuid, event)
        self._set("error", how)

    def _give_up(self, why: str) -> None:
        self.hopeless = why
        self._set("error", why)

    def _tell(self, level: str, text: str) -> None:
        plan = self.plan
        suffix = plan.name.rpartition("-")[2]
        text = f"{plan.process.type}.v{plan.release}.{suffix} {text}"
        line = platform_text("runtime", level, text)
        self._tools.shipper.line(plan.app, plan.appuuid, line)

    def _set(self, state: str, reason: str = "") -> None:
        self.state = state
        self.reason = reason
        self._changed(self)
