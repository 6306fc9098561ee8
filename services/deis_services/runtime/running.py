"""A process of an instance together with what it prints: the instance itself, or a hook of it."""

import asyncio
import contextlib
import dataclasses
from dataclasses import dataclass

from deis_bus.contracts.runtime import Process
from deis_platform.loglines import app_line, platform_text
from deis_services.runtime.capture import capture
from deis_services.runtime.model import ending
from deis_services.runtime.spawn import CannotStart, Child, spawn
from deis_services.runtime.tools import Tools
from deis_services.runtime.workspace import Prepared

DRAIN_SECONDS = 2.0
"""For the last lines, which are in the pipes when the last process is gone."""


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


class Running:
    """A started process whose lines go to the log."""

    def __init__(self, child: Child, plan: Plan, tools: Tools) -> None:
        self.child = child
        self._plan = plan
        self._tools = tools
        pipes = [pipe for pipe in (child.stdout, child.stderr) if pipe is not None]
        self._readers = [asyncio.create_task(capture(pipe, self._line)) for pipe in pipes]

    async def bury(self) -> None:
        """End all that it ever started; returns once that is gone and its last lines are out."""
        await self.child.bury()
        if self._readers:
            _, late = await asyncio.wait(self._readers, timeout=DRAIN_SECONDS)
            for reader in late:
                reader.cancel()

    def _line(self, line: bytes) -> None:
        plan = self._plan
        text = line.decode(errors="replace")
        told = app_line(plan.app, plan.process.type, plan.release, plan.name, text)
        self._tools.shipper.line(plan.app, plan.appuuid, told)


async def start(
    plan: Plan, tools: Tools, prepared: Prepared, port: int, line: str, *, hook: bool = False
) -> Running:
    """Start a command line of an instance. Raises CannotStart, OSError."""
    process = plan.process
    command = tools.workspace.start(prepared, process.type, line, plan.environment, port, plan.name)
    command = dataclasses.replace(
        command,
        memory_bytes=process.memory_bytes,
        cpus=process.cpus,
        # The home marks what belongs to the instance: burying a hook must not touch all of that.
        home=None if hook else command.home,
    )
    return Running(await spawn(command, tools.keeper), plan, tools)


async def run_hook(
    plan: Plan, tools: Tools, prepared: Prepared, port: int, line: str, seconds: float
) -> bool:
    """Run a lifecycle command beside the process; whether it succeeded in that time."""
    try:
        running = await start(plan, tools, prepared, port, line, hook=True)
    except (CannotStart, OSError) as fault:
        tell(plan, tools, "WARNING", f"hook could not be started: {fault}")
        return False
    code = -1
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                code = await running.child.wait()
    finally:
        await running.bury()
    if code:
        how = "did not end in time" if code < 0 else ending(code)
        tell(plan, tools, "WARNING", f"hook {how}")
    return code == 0


def tell(plan: Plan, tools: Tools, level: str, text: str) -> None:
    """A line of the platform about an instance, into the application's log."""
    suffix = plan.name.rpartition("-")[2]
    text = f"{plan.process.type}.v{plan.release}.{suffix} {text}"
    tools.shipper.line(plan.app, plan.appuuid, platform_text("runtime", level, text))
