"""One term of leading: the queue of applications, and what fills it (DESIGN 3)."""

import asyncio

from deis_platform.retry import delays
from deis_platform.runner import restarting, run_parts
from deis_platform.workqueue import WorkQueue
from deis_services.controller.cleaner import Cleaner, Housekeeping
from deis_services.controller.deps import Deps
from deis_services.controller.leases import LeaseJudge
from deis_services.controller.reconcile import Reconciler
from deis_services.controller.resync import Resync, RuntimeWatch
from deis_services.controller.routes import Routes, RouteWriter
from deis_services.controller.service_routes import ServiceRoutes

GRACE_SECONDS = 5.0


class LeaderTerm:
    """The parts of a leader; a new term starts with nothing but what the rows say."""

    def __init__(self, deps: Deps) -> None:
        self._routes: Routes = (
            ServiceRoutes(deps.routed, deps.db)
            if deps.routed
            else RouteWriter(deps.bus, deps.db, self._soon)
        )
        self._cleaner = WorkQueue(Cleaner(deps).look, parallel=1, name="cleaner")
        reconciler = Reconciler(deps, self._routes, self._cleaner.put, self._soon)
        self.apps = WorkQueue(
            reconciler.look,
            parallel=deps.settings.deploys_at_once,
            name="apps",
            pauses=lambda: delays(ceiling=1.0),
        )
        self._resync = Resync(deps, self._routes, self.apps.put)
        self._parts = (
            self.apps,
            reconciler,
            self._cleaner,
            self._routes,
            self._resync,
            RuntimeWatch(deps.runtime, self.apps.put, self._resync.soon),
            LeaseJudge(deps),
            Housekeeping(deps, self._cleaner.put),
        )

    def _soon(self) -> None:
        self._resync.soon()

    def heard(self, appuuid: str) -> None:
        """Look at an application soon; an event of the platform itself names none."""
        if appuuid:
            self.apps.put(appuuid)

    async def run(self, stop: asyncio.Event) -> None:
        """Lead until `stop` is set."""
        await run_parts([restarting(part) for part in self._parts], stop, GRACE_SECONDS)
