"""An application's automations end with it (DESIGN 4): `up` sees to that, for the users are its."""

import asyncio

from deis_bus.automation import ended
from deis_bus.contracts.push import APPS_ALIVE, AppsAlive
from deis_bus.errors import BusError
from deis_bus.events.apps import AppDestroyed
from deis_bus.ports import Bus
from deis_bus.rpc import call
from deis_bus.users import OPERATOR
from deis_platform.buses import open_bus
from deis_platform.logs import get_logger
from deis_platform.races import unless
from deis_services.platform_cli import automation
from deis_services.platform_cli.automations import Book
from deis_services.platform_cli.reach import Reach

log = get_logger(__name__)

LOOK_SECONDS = 60.0


class AutomationsEnd:
    """A part: removes the automations of applications that are gone, soon after each
    `app.destroyed` and once a minute, for that event may have come while we were away."""

    name = "automations"

    def __init__(self, found: Reach) -> None:
        self._found = found

    async def run(self, stop: asyncio.Event) -> None:
        """Look until stopped, through any absence of bus and controller."""
        async with open_bus(self._found.bus(), OPERATOR) as bus:
            nudge = asyncio.Event()
            hearing = asyncio.create_task(_hear(bus, nudge), name="destroyed applications")
            try:
                while not stop.is_set():
                    nudge.clear()
                    await self._look(bus)
                    await unless(stop, nudge.wait(), LOOK_SECONDS)
            finally:
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)

    async def _look(self, bus: Bus) -> None:
        try:
            for name in await once(self._found, bus):
                log.info("automation ended with its application", automation=name)
        except (BusError, OSError) as fault:
            log.debug("automations are looked at later", fault=str(fault))


async def once(found: Reach, bus: Bus) -> list[str]:
    """Remove what has ended; gives the names. Raises BusError when nobody can tell."""
    bound = [kept for kept in Book(found.data).read().values() if kept.appuuid]
    if not bound:
        return []
    asked = AppsAlive(tuple(kept.appuuid for kept in bound))
    alive = frozenset((await call(bus, APPS_ALIVE, asked)).appuuids)
    gone = [kept for kept in bound if ended(kept.automation(), alive)]
    if gone:
        await automation.end(found, bus, gone)
    return [kept.name for kept in gone]


async def _hear(bus: Bus, nudge: asyncio.Event) -> None:
    async with bus.subscribe(f"deis.event.*.{AppDestroyed.TYPE}") as messages:
        async for _ in messages:
            nudge.set()
