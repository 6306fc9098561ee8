"""A push row is kept while somebody works on it."""

import asyncio
import itertools

from deis_bus.contracts.push import PUSH_RENEW, PushRenew
from deis_bus.errors import Refused
from deis_bus.memory import MemoryBroker
from deis_bus.ports import ServiceInfo
from deis_bus.rpc import Context, Empty, endpoints
from deis_services.builder import lease
from tests.unit.deis_platform.hand_loop import jumping, now

HELD = PushRenew("a push", "worker-1", 1)
LEASE = 30.0


@jumping
async def test_an_answer_that_does_not_come_costs_no_lease() -> None:
    renewed: list[float] = [now()]
    asked = 0

    async def renew(_: PushRenew, __: Context) -> Empty:
        nonlocal asked
        asked += 1
        if asked % 2:
            await asyncio.Event().wait()
        if asked > 6:
            raise Refused(409, "The push is no longer held by you", "lost")
        renewed.append(now())
        return Empty()

    broker = MemoryBroker()
    served = endpoints({PUSH_RENEW: renew}, lambda _subject, _fault: None)
    async with broker.bus("controller").serve(ServiceInfo(name="controller", version="1"), served):
        await lease.keep(broker.bus("builder"), HELD, LEASE)
    assert len(renewed) == 4
    assert all(later - earlier < LEASE for earlier, later in itertools.pairwise(renewed))
