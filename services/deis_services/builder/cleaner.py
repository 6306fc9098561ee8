"""Removes what is kept of applications that are gone: repositories, sources, caches."""

import asyncio

import structlog

from deis_bus.contracts.push import APPS_ALIVE, AppsAlive
from deis_bus.errors import BusError
from deis_bus.ports import Bus
from deis_bus.rpc import call
from deis_platform.objects import BadKey, ObjectStore
from deis_platform.runner import wait_for_stop
from deis_services.builder.repositories import Repositories

log = structlog.get_logger(__name__)

AT_ONCE = 500
KEPT = ("sources", "cache")
"""What goes with a repository: what can be made anew. Slugs are the controller's to remove."""


class Cleaner:
    """A part: looks for remains at its start and now and then; `remove` cleans up after one."""

    name = "cleaner"

    def __init__(
        self, bus: Bus, objects: ObjectStore, repositories: Repositories, seconds: float
    ) -> None:
        self._bus = bus
        self._objects = objects
        self._repositories = repositories
        self._seconds = seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Clean until stopped; whatever is away is tried again soon."""
        while not stop.is_set():
            pause = self._seconds
            try:
                await self.sweep()
            except BusError as fault:
                log.info("cleaning waits", fault=str(fault))
                pause = min(10.0, self._seconds)
            await wait_for_stop(stop, pause)

    async def remove(self, appuuid: str) -> None:
        """Everything of a destroyed application; safe to repeat. Raises Transient."""
        try:
            await self._repositories.remove(appuuid)
            for family in KEPT:
                await self._objects.delete_prefix(f"{family}/{appuuid}/")
        except (ValueError, BadKey) as fault:
            log.warning("not an identity, nothing is removed", fault=str(fault))

    async def sweep(self) -> None:
        """Remove what was missed; objects that were missed the controller finds. Raises Transient."""
        held = self._repositories.held()
        for start in range(0, len(held), AT_ONCE):
            asked = AppsAlive(tuple(held[start : start + AT_ONCE]))
            alive = (await call(self._bus, APPS_ALIVE, asked)).appuuids
            for appuuid in set(asked.appuuids) - set(alive):
                log.info("removing what is left of an application", appuuid=appuuid)
                await self.remove(appuuid)
