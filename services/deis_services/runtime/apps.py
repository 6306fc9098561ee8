"""All applications of this machine, by identity: applying, removing, cleaning up, stopping."""

import asyncio
import contextlib
import re

import structlog

from deis_bus.contracts.runtime import AppRef, AppSpec, AppStatus, Instance, Restart
from deis_bus.errors import Refused, Transient
from deis_platform.names import is_app_name
from deis_services.runtime.supervisor import Supervisor
from deis_services.runtime.tasks import Tasks
from deis_services.runtime.tools import Tools

log = structlog.get_logger(__name__)

IDENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
PROCESS_TYPE = re.compile(r"[a-z0-9]([a-z0-9-]{0,62})")
MAX_INSTANCES = 500
"""Of one application on one machine; a router takes no more per host."""
GRACE_SECONDS = 7.0
"""For all instances together when the service stops, whatever their own grace is."""
UNROUTE_SECONDS = 1.0


class Apps:
    """One supervisor per application that something is wanted of."""

    def __init__(self, tools: Tools, tasks: Tasks) -> None:
        self._tools = tools
        self._tasks = tasks
        self._apps: dict[str, Supervisor] = {}
        self._removals: dict[str, asyncio.Task[None]] = {}

    def apply(self, spec: AppSpec) -> None:
        """Take a spec. Raises Refused 400 for what cannot run, 409 `stale`; Transient while an
        application of that identity is being removed."""
        check(spec)
        if spec.appuuid in self._removals:
            raise Transient(f"{spec.app} is being removed")
        for uuid, other in tuple(self._apps.items()):
            if other.spec.app == spec.app and uuid != spec.appuuid:
                log.info("the name has a new owner", app=spec.app)
                _ = self._removal(AppRef(app=spec.app, appuuid=uuid))
        supervisor = self._apps.get(spec.appuuid)
        if supervisor is None:
            self._apps[spec.appuuid] = Supervisor(spec, self._tools)
        else:
            supervisor.apply(spec)

    async def remove(self, app: AppRef) -> None:
        """End and forget everything of an identity; returns once it is gone."""
        if not IDENTITY.fullmatch(app.appuuid):
            raise Refused(400, "not an application's identity")
        await asyncio.shield(self._removal(app))

    def status(self, app: AppRef) -> AppStatus:
        """How far an application is, its one-off commands among the instances."""
        running = self._tasks.running(app.appuuid)
        supervisor = self._apps.get(app.appuuid)
        if supervisor is None:
            return AppStatus(generation=0, instances=running)
        return supervisor.status(running)

    async def restart(self, restart: Restart) -> tuple[Instance, ...]:
        """Replace instances; none when nothing runs."""
        supervisor = self._apps.get(restart.appuuid)
        return () if supervisor is None else await supervisor.restart(restart)

    def held(self) -> tuple[AppRef, ...]:
        """Every application that something is held of."""
        return tuple(
            AppRef(app=one.spec.app, appuuid=uuid, generation=one.spec.generation)
            for uuid, one in self._apps.items()
        )

    def known(self) -> set[str]:
        """Every identity that something is kept of, on disk too."""
        return self._apps.keys() | self._tools.workspace.known()

    async def stop(self) -> None:
        """End all processes; bounded."""
        supervisors = tuple(self._apps.values())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(UNROUTE_SECONDS):
                drops = (self._tools.routes.drop(s.spec.app, s.spec.appuuid) for s in supervisors)
                await asyncio.gather(*drops)
        ends = [supervisor.stop(GRACE_SECONDS) for supervisor in supervisors]
        await asyncio.gather(*ends, self._tasks.close(), self._finish_removals())
        self._apps.clear()

    async def _finish_removals(self) -> None:
        """None of them goes on beside the next runtime of this folder."""
        removals = tuple(self._removals.values())
        if removals:
            _, late = await asyncio.wait(removals, timeout=GRACE_SECONDS)
            for removal in late:
                removal.cancel()
            await asyncio.wait(removals)

    def _removal(self, app: AppRef) -> asyncio.Task[None]:
        task = self._removals.get(app.appuuid)
        if task is None:
            task = asyncio.create_task(self._remove(app), name=f"remove {app.app}")
            self._removals[app.appuuid] = task
            task.add_done_callback(lambda _: self._removals.pop(app.appuuid, None))
        return task

    async def _remove(self, app: AppRef) -> None:
        supervisor = self._apps.pop(app.appuuid, None)
        if supervisor is not None:
            await supervisor.remove()
        await self._tasks.end_app(app.appuuid)
        await self._tools.workspace.forget(app.appuuid)


def check(spec: AppSpec) -> None:
    """Raises Refused 400 for a spec that no runtime of one machine could run."""
    if not is_app_name(spec.app) or not IDENTITY.fullmatch(spec.appuuid):
        raise Refused(400, f"not an application: {spec.app!r}")
    if bool(spec.artifact.slug) == bool(spec.artifact.image):
        raise Refused(400, "an application runs either a slug or an image")
    for process in spec.processes:
        if not PROCESS_TYPE.fullmatch(process.type):
            raise Refused(400, f"not a process type: {process.type!r}")
        if process.count < 0:
            raise Refused(400, f"{process.type}: a count must not be negative")
    if sum(process.count for process in spec.processes) > MAX_INSTANCES:
        raise Refused(400, f"one machine runs at most {MAX_INSTANCES} instances of an application")
