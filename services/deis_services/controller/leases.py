"""The leader judges leases of pushes, but only when it can know that they were let run out."""

import asyncio

from deis_bus.errors import Transient
from deis_platform.logs import get_logger
from deis_platform.runner import wait_for_stop
from deis_services.controller.deps import Deps
from deis_services.controller.pushes import judge_leases

log = get_logger(__name__)

LOOKS_PER_LEASE = 15
"""How often dependencies are looked at and leases judged, within the time of one lease."""


class LeaseJudge:
    """A part. Whoever holds a push can renew only while database and bus are there, so the
    leader judges after it has had both for a whole lease time: an outage ends no build."""

    name = "leases"

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._since: float | None = None
        """Since when everything was there; None while it is not."""
        self._looked = 0.0
        self._losses = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Look and judge until stopped."""
        lease = self._deps.settings.lease_seconds
        self._since = None
        while not await wait_for_stop(stop, lease / LOOKS_PER_LEASE):
            if await self._had_a_whole_lease(lease):
                try:
                    await judge_leases(self._deps)
                except Transient as fault:
                    log.warning("leases wait", fault=str(fault))
                    self._since = None

    async def _had_a_whole_lease(self, lease: float) -> bool:
        now = asyncio.get_running_loop().time()
        slept, self._looked = now - self._looked > lease / 2, now
        losses, before = self._deps.bus.counts.disconnects, self._losses
        self._losses = losses
        good = await self._deps.db.ready() and await self._deps.bus.ready()
        if not good or slept or losses != before:
            # `slept`: this process itself stood still, so it has not seen what was there.
            self._since = now if good else None
            return False
        if self._since is None:
            self._since = now
        return now - self._since >= lease
