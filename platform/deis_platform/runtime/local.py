"""The runtime port over the bus: speaks to the runtime service of this machine (DESIGN 6)."""

import asyncio
from collections.abc import AsyncGenerator

from deis_bus.contracts.runtime import (
    APPLY,
    BUILD,
    BUILD_JOIN,
    BUILD_STOP,
    HELD,
    REMOVE,
    RESTART,
    RUN,
    STATUS,
    AppRef,
    AppSpec,
    AppStatus,
    BuildJoin,
    BuildRun,
    BuildStop,
    HeldApps,
    Instance,
    Restart,
    RunTask,
)
from deis_bus.errors import Refused, Transient
from deis_bus.ports import Bus
from deis_bus.rpc import Empty, call
from deis_platform.runtime.port import Observation

CALL_SECONDS = 10.0
REMOVE_SECONDS = 60.0
"""Ending is asked with SIGTERM first; a removal that takes longer goes on by itself."""
RESTART_SECONDS = 150.0
"""The default deploy timeout and a little more."""
LOOK_SECONDS = 1.0


class LocalRuntime:
    """Implements `Runtime`. Every call raises Transient while bus or service are away."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def claim(self, app: AppRef) -> None:
        """Nothing here but applications has a name."""

    async def apply(self, spec: AppSpec) -> None:
        """Make this the wanted state. Raises Refused 409 `stale`, 400 for what cannot run."""
        await call(self._bus, APPLY, spec, seconds=CALL_SECONDS, traceparent=spec.traceparent)

    async def remove(self, app: AppRef) -> None:
        """End everything of the application; returns once it is gone."""
        await call(self._bus, REMOVE, app, seconds=REMOVE_SECONDS)

    async def clear(self, app: AppRef) -> None:
        """The same as `remove`: there is no name to keep."""
        await self.remove(app)

    async def status(self, app: AppRef) -> AppStatus:
        """How far the service is; generation 0 when it holds nothing."""
        return await call(self._bus, STATUS, app, seconds=CALL_SECONDS)

    async def instances(self, app: AppRef) -> tuple[Instance, ...]:
        """What runs now, newest first, one-off commands included."""
        return (await self.status(app)).instances

    async def restart(self, restart: Restart) -> tuple[Instance, ...]:
        """Replace instances; returns when the new ones are ready or it took too long."""
        return (await call(self._bus, RESTART, restart, seconds=RESTART_SECONDS)).instances

    async def run(self, task: RunTask) -> None:
        """Start a one-off command. Raises Refused 400 for what cannot run."""
        await call(self._bus, RUN, task, seconds=CALL_SECONDS)

    async def build(self, task: BuildRun) -> None:
        """Start a build. Raises Refused 409 `running` when that id runs."""
        await call(self._bus, BUILD, task, seconds=CALL_SECONDS)

    async def join_build(self, join: BuildJoin) -> None:
        """Hear a build again. Raises Refused 404 where the service knows none of that id."""
        await call(self._bus, BUILD_JOIN, join, seconds=CALL_SECONDS)

    async def stop_build(self, task_id: str) -> None:
        """End a build that may still run."""
        await call(self._bus, BUILD_STOP, BuildStop(id=task_id), seconds=CALL_SECONDS)

    async def held(self) -> tuple[AppRef, ...]:
        """Every application the service holds something of."""
        return (await self._held()).apps

    async def watch(self) -> AsyncGenerator[Observation, None]:
        """A nudge for everything first, and whenever the service is another or was away.

        Changes of single applications come as reports (`instance.changed`), which the
        controller consumes anyway, so nothing is told twice.
        """
        epoch: str | None = None
        while True:
            try:
                found = (await self._held()).epoch
            except (Transient, Refused):
                epoch = None
            else:
                if found != epoch:
                    epoch = found
                    yield Observation()
            await asyncio.sleep(LOOK_SECONDS)

    async def _held(self) -> HeldApps:
        return await call(self._bus, HELD, Empty(), seconds=CALL_SECONDS)
