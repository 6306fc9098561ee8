"""Automations on the memory twin."""

import contextlib

import pytest

from deis_bus import automation, cursors, subjects
from deis_bus.automation import Automation
from deis_bus.errors import Permanent
from deis_bus.memory import MemoryBroker, MemoryBus
from deis_bus.ports import Message
from tests.behaviour.bus import envelope, take

BOT = automation.automation_user("bot")
OF_BLOG = automation.automation_user("blogbot", "blog", "new-blog")


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBroker().bus("platform")


async def tell(bus: MemoryBus, app: str, kind: str, appuuid: str) -> None:
    """An event of the controller."""
    given = envelope(kind, subject=app, appuuid=appuuid)
    await bus.publish(subjects.event(app, kind), given, b"{}")


async def seen(bus: MemoryBus, kind: Automation, count: int) -> list[Message]:
    """What it is given first."""
    inbox = await bus.inbox(automation.durable(kind))
    async with contextlib.aclosing(inbox.messages()) as messages:
        return await take(messages, count)


async def history(bus: MemoryBus) -> None:
    """A name that two owners had, one after the other, and another app."""
    await tell(bus, "blog", "app.created", "old-blog")
    await tell(bus, "blog", "release.created", "old-blog")
    await tell(bus, "blog", "app.destroyed", "old-blog")
    await tell(bus, "shop", "app.created", "shop")
    await tell(bus, "blog", "app.created", "new-blog")
    await tell(bus, "blog", "release.created", "new-blog")


@pytest.mark.parametrize("name", ["", "A", "1a", "a.b", "a b", "a>", "-a", "a" * 41, "ü"])
def test_a_name_is_a_word(name: str) -> None:
    with pytest.raises(automation.BadName):
        automation.automation_user(name)


def test_an_app_needs_its_identity() -> None:
    with pytest.raises(ValueError, match="identity"):
        automation.automation_user("bot", "blog")


async def test_it_sees_everything_from_the_beginning(bus: MemoryBus) -> None:
    await history(bus)
    epoch = await bus.stream_epoch("EVENTS")
    assert await automation.add(bus, BOT, cursors.BEGINNING) == cursors.Cursor(epoch, 0)
    assert [m.sequence for m in await seen(bus, BOT, 6)] == [1, 2, 3, 4, 5, 6]


async def test_it_begins_now_unless_told_otherwise(bus: MemoryBus) -> None:
    await history(bus)
    assert (await automation.add(bus, BOT)).sequence == 6
    await tell(bus, "shop", "app.destroyed", "shop")
    assert [m.sequence for m in await seen(bus, BOT, 1)] == [7]


async def test_one_of_an_app_never_sees_an_earlier_owner_of_the_name(bus: MemoryBus) -> None:
    await history(bus)
    assert (await automation.add(bus, OF_BLOG, cursors.BEGINNING)).sequence == 4
    got = await seen(bus, OF_BLOG, 2)
    assert {m.headers["ce-appuuid"] for m in got} == {"new-blog"}
    await automation.rewind(bus, OF_BLOG, f"{await bus.stream_epoch('EVENTS')}-1")
    assert [m.sequence for m in await seen(bus, OF_BLOG, 2)] == [5, 6]


async def test_one_whose_creation_was_trimmed_begins_behind_the_last_other(bus: MemoryBus) -> None:
    await history(bus)
    await bus.remove("EVENTS", 5)
    assert (await automation.add(bus, OF_BLOG, cursors.BEGINNING)).sequence == 1
    assert next(m.headers["ce-appuuid"] for m in await seen(bus, OF_BLOG, 3)) == "old-blog"


async def test_a_second_one_of_the_name_is_refused(bus: MemoryBus) -> None:
    await automation.add(bus, BOT)
    with pytest.raises(Permanent, match="already"):
        await automation.add(bus, BOT)
    assert await automation.remove(bus, "bot")
    assert not await automation.remove(bus, "bot")
    await automation.add(bus, BOT)


async def test_rewinding_plays_everything_again(bus: MemoryBus) -> None:
    await history(bus)
    await automation.add(bus, BOT, cursors.BEGINNING)
    for message in await seen(bus, BOT, 6):
        await message.done()
    epoch = await bus.stream_epoch("EVENTS")
    await automation.rewind(bus, BOT, f"{epoch}-3")
    assert [m.sequence for m in await seen(bus, BOT, 3)] == [4, 5, 6]


async def test_a_bad_place_leaves_the_consumer_where_it_is(bus: MemoryBus) -> None:
    await history(bus)
    await automation.add(bus, BOT, cursors.BEGINNING)
    for wrong in (cursors.BadCursor, "x"), (cursors.Gone, "other-1"):
        with pytest.raises(wrong[0]):
            await automation.rewind(bus, BOT, wrong[1])
    assert await bus.durables("EVENTS") == ["automation-bot"]


def test_it_ends_with_its_app() -> None:
    assert automation.ended(OF_BLOG, frozenset({"old-blog", "shop"}))
    assert not automation.ended(OF_BLOG, frozenset({"new-blog"}))
    assert not automation.ended(BOT, frozenset())


def test_an_outside_server_is_told_the_rights() -> None:
    text = automation.to_grant(BOT)
    assert "automation-bot" in text
    assert "$JS.API.CONSUMER.MSG.NEXT.EVENTS.automation-bot" in text
    assert "_INBOX_automation-bot.>" in text
