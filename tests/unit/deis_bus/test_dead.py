"""Dead letters on the memory twin."""

import pytest

from deis_bus import dead
from deis_bus.envelope import from_headers
from deis_bus.memory import MemoryBroker, MemoryBus
from deis_bus.streams import Durable
from tests.behaviour.bus import PUSHED, envelope, one

DURABLE = Durable(name="builder", stream="EVENTS", filters=(PUSHED,))


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBroker().bus("platform")


async def bury(bus: MemoryBus, reason: str) -> str:
    """An event that nobody could handle; gives its id."""
    given = envelope(subject="blog")
    await bus.publish(PUSHED, given, b"data")
    await (await one((await bus.inbox(DURABLE)).messages())).bury(reason)
    return given.id


async def test_they_are_listed_with_reason_and_origin(bus: MemoryBus) -> None:
    await bury(bus, "first")
    await bury(bus, "second")
    letters = await dead.listed(bus)
    assert [(entry.sequence, entry.reason) for entry in letters] == [(1, "first"), (2, "second")]
    assert {(entry.subject, entry.durable, entry.app) for entry in letters} == {
        (PUSHED, "builder", "blog")
    }
    assert await dead.count(bus) == 2
    assert [entry.sequence for entry in await dead.listed(bus, start=2)] == [2]
    assert [entry.sequence for entry in await dead.listed(bus, limit=1)] == [1]


async def test_a_retry_brings_it_back_as_it_was(bus: MemoryBus) -> None:
    event = await bury(bus, "bad")
    told = await dead.retry(bus, 1)
    assert told is not None
    assert told.reason == "bad"
    assert await dead.listed(bus) == []
    again = await one((await bus.inbox(DURABLE)).messages())
    assert (again.sequence, again.subject, again.data) == (2, PUSHED, b"data")
    assert from_headers(again.headers).id == event
    assert not [name for name in again.headers if name.startswith("deis-dead-")]


async def test_a_letter_can_die_again(bus: MemoryBus) -> None:
    await bury(bus, "bad")
    await dead.retry(bus, 1)
    await (await one((await bus.inbox(DURABLE)).messages())).bury("still bad")
    assert [entry.reason for entry in await dead.listed(bus)] == ["still bad"]


async def test_there_may_be_none(bus: MemoryBus) -> None:
    assert await dead.listed(bus) == []
    assert await dead.count(bus) == 0
    assert await dead.retry(bus, 1) is None
    assert not await dead.forget(bus, 1)
    await bury(bus, "a")
    await bury(bus, "b")
    assert await dead.forget(bus, 1)
    assert await dead.retry(bus, 1) is None, "not the next one instead"
