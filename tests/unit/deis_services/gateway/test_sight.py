"""What a caller sees of events, while the controller comes and goes."""

import asyncio

import pytest

from deis_bus.memory import MemoryBroker, MemoryBus
from deis_services.gateway.answers import Problem
from deis_services.gateway.rights import Rights
from deis_services.gateway.streams import sight
from deis_services.gateway.streams.sight import Sight
from tests.behaviour.bus import until
from tests.behaviour.gateway_rig import Controller
from tests.behaviour.gateway_streaming import BLOG, SHOP

PATIENCE = 10.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sight, "AWAY_SECONDS", 0.01)


@pytest.fixture
def rights(bus: MemoryBus) -> Rights:
    return Rights(bus, again=0.05)


async def test_a_right_that_ends_while_nobody_can_say(
    rights: Rights, controller: Controller, broker: MemoryBroker
) -> None:
    controller.visible = {"blog": BLOG}
    seen = Sight(rights, "token", "blog")
    await seen.look()
    keeping = asyncio.create_task(seen.keep())
    broker.switch.up = False
    controller.visible = {}
    controller.there = {"blog"}
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(keeping), 0.2)
    rights._again = 3600.0
    broker.switch.up = True
    await asyncio.wait_for(keeping, PATIENCE)


async def test_an_event_waits_for_who_knows_whose_it_is(
    rights: Rights, controller: Controller, broker: MemoryBroker
) -> None:
    seen = Sight(rights, "token", "")
    await seen.look()
    broker.switch.up = False
    showing = asyncio.create_task(seen.shows("shop", SHOP, "release.created"))
    controller.visible = {"shop": SHOP}
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(showing), 0.1)
    broker.switch.up = True
    assert await asyncio.wait_for(showing, PATIENCE)


async def test_who_may_not_is_asked_about_once(rights: Rights, controller: Controller) -> None:
    seen = Sight(rights, "token", "")
    for _ in range(3):
        for appuuid in (BLOG, SHOP):
            assert not await seen.shows("other", appuuid, "release.created")
    assert controller.looks == 2
    controller.visible = {"blog": BLOG}
    assert await seen.shows("blog", BLOG, "share.granted")
    assert not await seen.shows("_", "", "user.registered")


async def test_a_name_under_a_new_owner(rights: Rights, controller: Controller) -> None:
    controller.visible = {"blog": BLOG}
    seen = Sight(rights, "token", "blog")
    await seen.look()
    assert await seen.shows("blog", BLOG, "release.created")
    assert not await seen.shows("blog", SHOP, "release.created")
    controller.visible = {}
    controller.there = {"blog"}
    with pytest.raises(Problem) as fault:
        await seen.look()
    assert fault.value.status == 404


async def test_an_own_application_that_is_destroyed_shows_its_end(
    rights: Rights, controller: Controller
) -> None:
    controller.visible = {"blog": BLOG, "shop": SHOP}
    seen = Sight(rights, "token", "")
    await seen.look()
    controller.visible = {"blog": str(SHOP)}  # destroyed, and its name is another's
    await seen.look()
    await until(lambda: controller.looks == 2)
    assert await seen.shows("blog", BLOG, "app.destroyed")
    controller.visible, controller.there = {}, {"blog"}
    await seen.look()
    assert not await seen.shows("blog", SHOP, "release.created")
