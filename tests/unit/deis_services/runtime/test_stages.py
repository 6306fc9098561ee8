"""Where the seconds went."""

import asyncio

from deis_services.runtime.stages import Stages


async def test_each_stage_ends_where_the_next_begins() -> None:
    began = asyncio.get_running_loop().time()
    stages = Stages()
    assert stages.seconds() == {}
    await asyncio.sleep(0.01)
    stages.fetched()
    stages.complete()
    assert stages.seconds().keys() == {"fetch", "start"}
    await asyncio.sleep(0.01)
    stages.fetched()  # by an instance that came later
    stages.complete()
    stages.switched()
    found = stages.seconds()
    assert [*found] == ["fetch", "start", "switch"]
    assert found["switch"] > found["start"]
    assert sum(found.values()) <= asyncio.get_running_loop().time() - began + 0.002


async def test_what_fetches_nothing_has_no_such_stage() -> None:
    stages = Stages()
    stages.complete()
    assert stages.seconds().keys() == {"start"}
