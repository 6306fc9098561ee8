"""Keeps a push row ours while we work on it (DESIGN 5, A push, 1 and 3)."""

import asyncio

from deis_bus.contracts.push import PUSH_RENEW, PushRenew
from deis_bus.errors import Refused, Transient
from deis_bus.ports import Bus
from deis_bus.rpc import call
from deis_platform.logs import get_logger

log = get_logger(__name__)


async def keep(bus: Bus, held: PushRenew, lease_seconds: float) -> str:
    """Renew at a third of the lease's time; once the row is no longer ours, gives why.

    While nobody answers it goes on, sooner than otherwise: one answer that does not come must
    not cost the lease, and an outage takes no row away.
    """
    period = lease_seconds / 3
    pause = period
    while True:
        await asyncio.sleep(pause)
        pause = period
        try:
            await call(bus, PUSH_RENEW, held, seconds=period)
        except Refused as fault:
            return fault.detail
        except Transient as fault:
            log.info("the lease waits to be renewed", push=held.push, fault=str(fault))
            pause = period / 5
