"""The controller as a service: answers requests on every replica, reconciles on one (DESIGN 3)."""

import asyncio
from contextlib import AsyncExitStack

from deis_bus.consumer import Consumer
from deis_bus.errors import Transient
from deis_platform.buses import open_bus
from deis_platform.crypto import Keyring
from deis_platform.database import Database, open_database
from deis_platform.events import EventRelay
from deis_platform.health import HealthServer
from deis_platform.loglines import LogShipper
from deis_platform.logs import get_logger
from deis_platform.metrics import LoopLag, Metrics
from deis_platform.migrations import migrate
from deis_platform.objects import open_objects
from deis_platform.presence import Presence
from deis_platform.retry import delays
from deis_platform.runner import Part, run_parts, run_service, wait_for_stop
from deis_platform.runtime.choose import open_runtime
from deis_services.controller.deps import Deps
from deis_services.controller.leader import Leader, Nudges
from deis_services.controller.reports import DURABLE, Reports, line_of
from deis_services.controller.served import served
from deis_services.controller.settings import Settings
from deis_services.controller.streams import Streams, bounded
from deis_services.controller.term import LeaderTerm

log = get_logger(__name__)

ABOUT = "rules, state and the reconciler"
SCHEMA = "deis_services.controller"
"""The package whose folder `sql` holds the migrations."""
GRACE_SECONDS = 10.0


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run the controller until `stop` is set (docs/architecture.md).

    Raises CryptoError without a usable key file, SchemaError for a database of a newer version.
    """
    metrics = Metrics("controller")
    async with AsyncExitStack() as stack:
        db = await stack.enter_async_context(open_database(settings.database))
        bus = await stack.enter_async_context(open_bus(settings.bus, "controller"))
        opened = await stack.enter_async_context(
            open_runtime(settings.runtime, settings.cluster, bus)
        )
        nudges = Nudges()
        stages = metrics.seconds("stage_seconds", "time each stage of a release took", ("stage",))
        deps = Deps(
            db=db,
            bus=bus,
            keyring=Keyring.open(settings.platform.secret_file),
            runtime=opened.runtime,
            routed=opened.routed,
            objects=await stack.enter_async_context(open_objects(settings.objects)),
            shipper=LogShipper(bus),
            settings=settings,
            nudge=nudges,
            observe=lambda stage, seconds: stages.labels(stage).observe(seconds),
        )
        started = Started(deps, nudges, metrics)
        await run_parts((*_watched(deps, metrics), *opened.parts, started), stop)


def _watched(deps: Deps, metrics: Metrics) -> tuple[Part, ...]:
    """What works without database and bus."""
    checks = {"database": deps.db.ready, "bus": deps.bus.ready}
    return (HealthServer(deps.settings.health, metrics, checks), LoopLag(metrics))


class Started:
    """A part: everything that needs the schema, once the database has it."""

    name = "controller"

    def __init__(self, deps: Deps, nudges: Nudges, metrics: Metrics) -> None:
        reports = Reports(deps).handlers()
        leader = Leader(deps.db, nudges, lambda: LeaderTerm(deps))
        leads = metrics.gauge("leader", "1 where this replica reconciles")
        leads.set_function(lambda: float(leader.leads))
        self._db = deps.db
        self._parts: tuple[Part, ...] = (
            Streams(deps.bus, bounded(deps.settings)),
            Presence(deps.bus, "controller", ABOUT, served(deps, metrics)),
            deps.shipper,
            EventRelay(deps.db, deps.bus, deps.settings.events_days),
            Consumer(deps.bus, DURABLE, reports, "reports", probe=deps.db.ready, around=line_of),
            leader,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Migrate, however long the database takes to come, then run the parts."""
        if await _migrated(self._db, stop):
            await run_parts(self._parts, stop, GRACE_SECONDS)


async def _migrated(db: Database, stop: asyncio.Event) -> bool:
    for pause in delays(ceiling=1.0):
        try:
            await migrate(db, SCHEMA)
        except Transient as fault:
            log.warning("waiting for the database", fault=str(fault))
            if await wait_for_stop(stop, pause):
                return False
        else:
            return True
    return False


def main() -> None:
    """The controller as a process of its own."""
    run_service(serve, Settings)
