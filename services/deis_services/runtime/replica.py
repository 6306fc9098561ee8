"""One instance: its processes one after the other, until it is told to leave (DESIGN 6)."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from deis_bus.clock import timestamp
from deis_bus.contracts.runtime import Instance
from deis_bus.errors import Refused
from deis_bus.events.processes import InstanceCrashed
from deis_platform.embedded.owners import Owner
from deis_platform.races import unless
from deis_services.runtime.listeners import strangers
from deis_services.runtime.model import Member, ending, pause
from deis_services.runtime.ports import HOST, NoPort, is_free
from deis_services.runtime.ready import until_ready, until_unready
from deis_services.runtime.running import Plan, Running, run_hook, start, tell
from deis_services.runtime.spawn import CannotStart
from deis_services.runtime.tools import Tools
from deis_services.runtime.workspace import Prepared

log = structlog.get_logger(__name__)

STEADY_SECONDS = 60.0
"""Ready for so long, and earlier crashes are forgotten."""
HOOK_SECONDS = 30.0
CANNOT_START = 127

T = TypeVar("T")
Prepare = Callable[["Replica"], Awaitable[Prepared]]


class Replica:
    """States (api.md 10.2): initializing, creating, starting, up, error, terminating, down.

    `error` is the wait after a crash: shown by `ps`, as `crashed` would not be. `prepare` gives
    the artifact; `changed` is called after every change.
    """

    def __init__(
        self, plan: Plan, port: int, tools: Tools, prepare: Prepare, changed: Callable[[], None]
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
        self.last_end = ""
        """How it crashed last, in words."""
        self.hopeless = ""
        """Why it will never start, in words for the user."""
        self._started = ""
        self._ready_at = 0.0
        self._tools = tools
        self._prepare = prepare
        self._changed = changed
        self._leave = asyncio.Event()
        self._running: Running | None = None
        self._prepared: Prepared | None = None
        self._task = asyncio.create_task(self._run(), name=plan.name)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{HOST}:{self.port}"

    @property
    def shown(self) -> str:
        """The state as others see it."""
        return "terminating" if self.leaving and self.state != "down" else self.state

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
            state=self.shown,
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
        running = self._running
        if running is not None:
            deadline = asyncio.get_running_loop().time() + grace
            await self._hook(self.plan.process.pre_stop, grace)
            running.child.signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await running.child.wait()
            await running.bury()
        await asyncio.wait({self._task})
        try:
            await self._tools.workspace.done(self.plan.appuuid, self.plan.name)
        except OSError as fault:
            log.warning("folder not removed", instance=self.plan.name, fault=str(fault))
        self._set("down")

    async def _run(self) -> None:
        try:
            while not self._leave.is_set():
                await self._once()
                await unless(self._leave, asyncio.sleep(pause(self.crashes)))
        except Refused as fault:
            self._give_up(fault.detail)
        except Exception as fault:
            # A bug costs its instance and nothing else, and is told.
            log.exception("instance failed", instance=self.plan.name, exc_info=fault)
            self._give_up("the runtime could not run it; its log says why")

    async def _once(self) -> None:
        """From the artifact to the end of one process."""
        try:
            prepared = await unless(self._leave, self._prepare(self))
            if prepared is None:
                return
            self._set("creating")
            code = await self._live(prepared)
        except (CannotStart, NoPort, OSError) as fault:
            self._crashed(f"could not be started: {fault}", CANNOT_START)
        else:
            if not self._leave.is_set():
                self._crashed(ending(code), code)

    async def _live(self, prepared: Prepared) -> int:
        """One process from start to burial; gives its exit code."""
        if not is_free(self.port):
            # Somebody else began to listen there; that port is not handed out again.
            self.port = self._tools.ports.take(self.plan.appuuid)
        self._started = timestamp()
        self._prepared = prepared
        line = self.plan.process.command
        running = await start(self.plan, self._tools, prepared, self.port, line)
        self._running = running
        self._set("starting")
        watching = asyncio.create_task(self._watch(running))
        try:
            if self._leave.is_set():
                running.child.signal(signal.SIGKILL)
            return await running.child.wait()
        finally:
            self._not_ready()
            watching.cancel()
            await running.bury()
            self._running = None

    async def _watch(self, running: Running) -> None:
        """Tell when it is ready; with a health check, when it is not any more."""
        process, probe = self.plan.process, self.plan.process.probe
        if not await self._hook(process.post_start, HOOK_SECONDS):
            running.child.signal(signal.SIGKILL)
            return
        while True:
            await until_ready(self.port, probe, process.routable, self.say)
            if process.routable and await self._robbed():
                running.child.signal(signal.SIGKILL)  # it comes back on another port
                return
            self.ready = True
            self._ready_at = asyncio.get_running_loop().time()
            self._set("up")
            if probe is None or not probe.path:
                return
            await until_unready(self.port, probe, self.say)
            tell(self.plan, self._tools, "WARNING", f"gets no requests: {self.reason}")
            self.ready = False
            self._set("starting", self.reason)

    async def _robbed(self) -> bool:
        """Whether what was found ready is not this instance but a program of somebody else."""
        owner = self._prepared.owner if self._prepared is not None else Owner()
        if not await asyncio.to_thread(strangers, self.port, owner.uid):
            return False
        words = f"somebody else listens on its PORT ({self.port}); it gets another one"
        tell(self.plan, self._tools, "WARNING", words)
        return True

    async def _hook(self, line: str, seconds: float) -> bool:
        if not line or self._prepared is None:
            return True
        return await run_hook(self.plan, self._tools, self._prepared, self.port, line, seconds)

    def _not_ready(self) -> None:
        """Out of the routes at once, before anything else is done about it."""
        if self.ready:
            self.ready = False
            if asyncio.get_running_loop().time() - self._ready_at > STEADY_SECONDS:
                self.crashes = 0
            self._changed()

    def _crashed(self, how: str, code: int) -> None:
        self.crashes += 1
        self.restarts += 1
        self.last_end = how
        plan = self.plan
        again = f"{how}, starting it again in {pause(self.crashes):g} s"
        tell(plan, self._tools, "WARNING", again)
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
        tell(self.plan, self._tools, "ERROR", f"cannot run: {why}")
        self._set("error", why)

    def _set(self, state: str, reason: str = "") -> None:
        self.state = state
        self.reason = reason
        self._changed()
