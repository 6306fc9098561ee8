"""What the runtime answers on the bus (`deis_bus.contracts.runtime`)."""

from collections.abc import Mapping
from typing import Any

from deis_bus.clock import new_id
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
    Restart,
    Restarted,
    RunTask,
)
from deis_bus.rpc import Context, Empty, Handler, Method
from deis_services.runtime.apps import Apps
from deis_services.runtime.tasks import Tasks


class Endpoints:
    """Thin: each hands over to the applications or to the tasks."""

    def __init__(self, apps: Apps, tasks: Tasks) -> None:
        self._apps = apps
        self._tasks = tasks
        self._epoch = new_id()

    def handlers(self) -> Mapping[Method[Any, Any], Handler]:
        """Method to handler, for `rpc.endpoints`."""
        return {
            APPLY: self.apply,
            REMOVE: self.remove,
            STATUS: self.status,
            RESTART: self.restart,
            HELD: self.held,
            RUN: self.run,
            BUILD: self.build,
            BUILD_JOIN: self.join_build,
            BUILD_STOP: self.stop_build,
        }

    async def apply(self, spec: AppSpec, _: Context) -> Empty:
        """Want this."""
        self._apps.apply(spec)
        return Empty()

    async def remove(self, app: AppRef, _: Context) -> Empty:
        """End and forget an application."""
        await self._apps.remove(app)
        return Empty()

    async def status(self, app: AppRef, _: Context) -> AppStatus:
        """How far it is."""
        return self._apps.status(app)

    async def restart(self, restart: Restart, _: Context) -> Restarted:
        """Replace instances."""
        return Restarted(await self._apps.restart(restart))

    async def held(self, _question: Empty, _: Context) -> HeldApps:
        """What is held, and whether it is still the same runtime."""
        return HeldApps(self._apps.held(), self._epoch)

    async def run(self, task: RunTask, _: Context) -> Empty:
        """Start a one-off command."""
        await self._tasks.run(task)
        return Empty()

    async def build(self, task: BuildRun, _: Context) -> Empty:
        """Start a build."""
        await self._tasks.build(task)
        return Empty()

    async def join_build(self, join: BuildJoin, _: Context) -> Empty:
        """Hear a build again."""
        self._tasks.join(join)
        return Empty()

    async def stop_build(self, task: BuildStop, _: Context) -> Empty:
        """End a build."""
        await self._tasks.stop(task.id)
        return Empty()
