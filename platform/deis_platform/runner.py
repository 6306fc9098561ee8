"""Runs the parts of a service: signals, a task group, stop in two steps.

Stopping: the parts are asked (`stop` is set), get `grace` seconds, and are cancelled. A second
signal cancels at once.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from deis_platform import logs, settings
from deis_platform.groups import LogSettings
from deis_platform.logs import get_logger
from deis_platform.retry import delays

log = get_logger(__name__)

S = TypeVar("S")
Run = Callable[[asyncio.Event], Awaitable[None]]
GRACE_SECONDS = 10.0
STEADY_SECONDS = 30.0
"""A part that ran that long starts its pauses anew."""


class Part(Protocol):
    """Anything that runs until it is told to stop."""

    @property
    def name(self) -> str:
        """For logs."""
        ...

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then end soon. Ending before that is a fault."""


class PartEnded(Exception):
    """A part ended although nobody had asked it to."""


class FunctionPart:
    """A part made of a function."""

    def __init__(self, name: str, run: Run) -> None:
        self.name = name
        self._run = run

    async def run(self, stop: asyncio.Event) -> None:
        """Call the function."""
        await self._run(stop)


async def run_parts(
    parts: Sequence[Part], stop: asyncio.Event, grace: float = GRACE_SECONDS
) -> None:
    """Run all parts until `stop` is set. When one fails the others are cancelled, and its fault
    is raised (an ExceptionGroup when several failed at once)."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_guarded(part, stop), name=part.name) for part in parts]
            await stop.wait()
            if not tasks:
                return
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                log.warning("part is late, cancelling it", part=task.get_name())
                task.cancel()
    except BaseExceptionGroup as faults:
        if len(faults.exceptions) == 1:
            raise faults.exceptions[0] from None
        raise


async def _guarded(part: Part, stop: asyncio.Event) -> None:
    await part.run(stop)
    if not stop.is_set():
        raise PartEnded(f"{part.name} ended although nobody asked it to")


class Restarting:
    """A part that is started again, after a growing pause, whenever it fails or ends."""

    def __init__(self, part: Part, pauses: Callable[[], Iterator[float]] = delays) -> None:
        self.name = part.name
        self._part = part
        self._pauses = pauses

    async def run(self, stop: asyncio.Event) -> None:
        """Run the part over and over until stopped."""
        clock = asyncio.get_running_loop()
        pauses = self._pauses()
        while not stop.is_set():
            began = clock.time()
            try:
                await _guarded(self._part, stop)
            except Exception as fault:
                # A service that fails must not stop the others, whatever it raised.
                if clock.time() - began > STEADY_SECONDS:
                    pauses = self._pauses()
                pause = next(pauses)
                log.exception(
                    "part failed, starting it again",
                    part=self.name,
                    fault=f"{type(fault).__name__}: {fault}",
                    again_in=round(pause, 2),
                    exc_info=fault,
                )
                await wait_for_stop(stop, pause)


def restarting(part: Part, pauses: Callable[[], Iterator[float]] = delays) -> Part:
    """`part`, but started again with backoff whenever it fails; never raises itself."""
    return Restarting(part, pauses)


async def wait_for_stop(stop: asyncio.Event, seconds: float) -> bool:
    """Pause for that long, or less if `stop` is set; whether it is."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True


def stop_on_signals() -> asyncio.Event:
    """An event that SIGINT and SIGTERM set; the second signal cancels the calling task."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def on_signal() -> None:
        if stop.is_set() and task is not None:
            task.cancel()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    return stop


def new_loop() -> asyncio.AbstractEventLoop:
    """uvloop where it exists, else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def run_service(
    serve: Callable[[S, asyncio.Event], Awaitable[None]], settings_type: type[S]
) -> None:
    """A service as a process: settings from the environment, logs, loop, signals.

    Ends with SystemExit: 2 for wrong settings, 1 for a fault, 0 when it was stopped.
    """
    try:
        loaded = settings.load(settings_type, os.environ)
    except settings.SettingsError as fault:
        sys.stderr.write(f"{fault}\n")
        raise SystemExit(2) from None
    wanted: Any = getattr(loaded, "logs", LogSettings())
    logs.set_up(format=wanted.format, level=wanted.level)

    async def main() -> None:
        stop = stop_on_signals()
        with logs.bound(service=serve.__module__.split(".")[-2:][0]):
            await serve(loaded, stop)

    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(main())
    except (asyncio.CancelledError, KeyboardInterrupt):
        raise SystemExit(1) from None
    except Exception as fault:
        log.exception("service failed", fault=f"{type(fault).__name__}: {fault}", exc_info=fault)
        raise SystemExit(1) from fault
