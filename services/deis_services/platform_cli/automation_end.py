"""An application's automations end with it (DESIGN 4): whoever writes the users sees to that, which
is `up`, and on Kubernetes the controller's pod."""

import asyncio
import functools
import os
from typing import Any

from deis_bus.automation import ended
from deis_bus.contracts.push import APPS_ALIVE, AppsAlive
from deis_bus.errors import BusError
from deis_bus.events.apps import AppDestroyed
from deis_bus.ports import Bus
from deis_bus.rpc import call
from deis_bus.users import OPERATOR
from deis_platform.buses import open_bus
from deis_platform.embedded.errors import ServerFailed
from deis_platform.logs import get_logger
from deis_platform.races import unless
from deis_platform.runner import FunctionPart, restarting, run_parts
from deis_services.platform_cli import automation
from deis_services.platform_cli.reach import Reach, reach
from deis_services.platform_cli.registers import register
from deis_services.platform_cli.services import Serve

log = get_logger(__name__)

LOOK_SECONDS = 60.0
GRACE_SECONDS = 30.0
"""A service ends within its own grace."""


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
        except ServerFailed as fault:
            log.warning("automations cannot be read", fault=str(fault))


async def once(found: Reach, bus: Bus) -> list[str]:
    """Remove what has ended; gives the names. Raises BusError when nobody can tell."""
    async with register(found) as kept_in:
        bound = [kept for kept in (await kept_in.read()).values() if kept.appuuid]
        if not bound:
            return []
        asked = AppsAlive(tuple(kept.appuuid for kept in bound))
        alive = frozenset((await call(bus, APPS_ALIVE, asked)).appuuids)
        gone = [kept for kept in bound if ended(kept.automation(), alive)]
        if gone:
            await automation.end(found, bus, kept_in, gone)
        return [kept.name for kept in gone]


def beside(serve: Serve) -> Serve:
    """A service whose process also ends automations."""

    @functools.wraps(serve)
    async def both(settings: Any, stop: asyncio.Event) -> None:
        async def service(until: asyncio.Event) -> None:
            await serve(settings, until)

        ends = AutomationsEnd(reach(None, os.environ))
        parts = [FunctionPart("service", service), restarting(ends)]
        await run_parts(parts, stop, GRACE_SECONDS)

    return both


async def _hear(bus: Bus, nudge: asyncio.Event) -> None:
    async with bus.subscribe(f"deis.event.*.{AppDestroyed.TYPE}") as messages:
        async for _ in messages:
            nudge.set()
