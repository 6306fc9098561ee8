"""What every bus does; inherited by the memory twin and by a real NATS server.

A class of a test module inherits a suite and gives the fixtures `bus` and `other`: two services
(or two replicas of one) on the same bus, with the platform's streams and buckets, empty.

    class TestMemoryStored(StoredSuite):
        @pytest.fixture
        def bus(self, broker): return broker.bus("controller")
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest

from deis_bus import subjects
from deis_bus.clock import new_id, timestamp
from deis_bus.envelope import Envelope, from_headers
from deis_bus.errors import Permanent, Unavailable
from deis_bus.letters import letter
from deis_bus.ports import Bus, Message
from deis_bus.streams import BUCKETS, EVENTS, REPORTS, STREAMS, Durable, Stream

T = TypeVar("T")
PATIENCE = 30.0
"""How long a test waits for what must come; only a failing test ever waits so long."""

DURABLE = Durable(name="builder", stream="EVENTS", filters=("deis.event.*.push.received",))
PUSHED = subjects.event("blog", "push.received")


def envelope(kind: str = "push.received", **fields: str) -> Envelope:
    """An envelope with its own id."""
    return Envelope(id=new_id(), type=kind, source="test", time=timestamp(), **fields)  # type: ignore[arg-type]


async def publish(bus: Bus, count: int, subject: str = PUSHED) -> list[int]:
    """Store that many events; their data is 0, 1, 2 …"""
    return [await bus.publish(subject, envelope(), b"%d" % number) for number in range(count)]


async def at_once(count: int, act: Callable[[int], Awaitable[T]]) -> list[T]:
    """So many of it, 50 at a time: each has a deadline, and a busy machine does not get to more."""
    done: list[T] = []
    for start in range(0, count, 50):
        numbers = range(start, min(start + 50, count))
        done += await asyncio.gather(*(act(number) for number in numbers))
    return done


async def take(source: AsyncIterator[T], count: int) -> list[T]:
    """The next `count` items."""
    async with asyncio.timeout(PATIENCE):
        return [await anext(source) for _ in range(count)]


async def one(source: AsyncIterator[T]) -> T:
    """The next item."""
    return (await take(source, 1))[0]


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Until it holds; what it tells of must move by itself."""
    never = asyncio.Event()
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = condition()
            if answer if isinstance(answer, bool) else await answer:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(never.wait(), 0.005)


class StoredSuite:
    """Streams: storing once, durable consumers, replays."""

    async def test_an_event_is_stored_with_its_envelope(self, bus: Bus) -> None:
        given = envelope(subject="blog", appuuid="u-1", actor="ann")
        assert await bus.publish(PUSHED, given, b"{}") == 1
        stored = (await bus.read("EVENTS"))[0]
        assert stored.subject == PUSHED
        assert stored.data == b"{}"
        assert stored.sequence == 1
        assert from_headers(stored.headers) == given

    async def test_the_same_event_is_stored_once(self, bus: Bus, other: Bus) -> None:
        given = envelope()
        assert await bus.publish(PUSHED, given, b"{}") == 1
        assert await other.publish(PUSHED, given, b"{}") == 1
        assert await bus.stream_bounds("EVENTS") == (1, 1)

    async def test_many_publish_at_once(self, bus: Bus) -> None:
        sequences = await at_once(50, lambda _: bus.publish(PUSHED, envelope(), b"{}"))
        assert sorted(sequences) == list(range(1, 51))

    async def test_raw_bytes_are_stored_with_their_headers(self, bus: Bus) -> None:
        await bus.store(subjects.buildlog("blog", "b1"), b"\x00\xff", {"attempt": "2"})
        stored = (await bus.read("BUILDLOGS"))[0]
        assert stored.data == b"\x00\xff"
        assert stored.headers["attempt"] == "2"

    async def test_what_no_stream_takes_is_refused(self, bus: Bus) -> None:
        with pytest.raises(Unavailable):
            await bus.store("deis.rpc.controller.apps.list", b"", {})

    async def test_a_message_over_the_limit_is_refused(self, bus: Bus) -> None:
        with pytest.raises(Permanent):
            await bus.publish(PUSHED, envelope(), bytes(8 * 1024 * 1024 + 1))
        assert await bus.publish(PUSHED, envelope(), bytes(8 * 1024 * 1024 - 4096)) == 1

    async def test_emitted_messages_are_stored_too_where_a_stream_takes_them(
        self, bus: Bus, other: Bus
    ) -> None:
        await bus.emit(subjects.buildlog("blog", "b1"), b"line")
        async with contextlib.aclosing(other.replay("BUILDLOGS", ())) as replay:
            assert (await one(replay)).data == b"line"

    async def test_a_durable_gives_what_was_stored_before_and_after(self, bus: Bus) -> None:
        await publish(bus, 2)
        messages = (await bus.inbox(DURABLE)).messages()
        first = await take(messages, 2)
        await publish(bus, 1)
        last = await one(messages)
        assert [m.data for m in (*first, last)] == [b"0", b"1", b"0"]
        assert [m.sequence for m in (*first, last)] == [1, 2, 3]
        assert {m.attempt for m in (*first, last)} == {1}

    async def test_a_durable_gives_only_what_passes_its_filters(self, bus: Bus) -> None:
        both = Durable(
            name="router",
            stream="EVENTS",
            filters=("deis.event.*.domain.added", "deis.event.blog.domain.removed"),
        )
        for kind in ("domain.added", "domain.removed", "push.received"):
            for app in ("blog", "shop"):
                await bus.publish(subjects.event(app, kind), envelope(kind), b"{}")
        got = await take((await bus.inbox(both)).messages(), 3)
        assert [m.subject for m in got] == [
            "deis.event.blog.domain.added",
            "deis.event.shop.domain.added",
            "deis.event.blog.domain.removed",
        ]

    async def test_a_new_only_durable_begins_at_the_end(self, bus: Bus) -> None:
        await publish(bus, 3)
        late = Durable(name="late", stream="EVENTS", filters=("deis.event.>",), new_only=True)
        messages = (await bus.inbox(late)).messages()
        await publish(bus, 1)
        assert (await one(messages)).sequence == 4

    async def test_a_durable_may_begin_in_the_middle(self, bus: Bus) -> None:
        await publish(bus, 4)
        middle = Durable(name="middle", stream="EVENTS", filters=("deis.event.>",), start=3)
        got = await take((await bus.inbox(middle)).messages(), 2)
        assert [m.sequence for m in got] == [3, 4]

    async def test_replicas_share_a_durable(self, bus: Bus, other: Bus) -> None:
        mine, theirs = await bus.inbox(DURABLE), await other.inbox(DURABLE)
        seen: list[int] = []

        async def work(messages: AsyncIterator[Message]) -> None:
            async for message in messages:
                seen.append(message.sequence)
                await message.done()

        workers = [asyncio.create_task(work(inbox.messages())) for inbox in (mine, theirs)]
        try:
            await publish(bus, 20)
            await until(lambda: len(seen) == 20)
        finally:
            for worker in workers:
                worker.cancel()
        assert sorted(seen) == list(range(1, 21))

    async def test_a_message_that_is_done_does_not_come_again(self, bus: Bus, other: Bus) -> None:
        await publish(bus, 2)
        async with contextlib.aclosing((await bus.inbox(DURABLE)).messages()) as messages:
            for message in await take(messages, 2):
                await message.done()
        await publish(bus, 1)
        again = (await other.inbox(DURABLE)).messages()
        assert (await one(again)).sequence == 3

    async def test_what_was_fetched_and_not_given_goes_to_others_at_once(
        self, bus: Bus, other: Bus
    ) -> None:
        await publish(bus, 3)
        async with contextlib.aclosing((await bus.inbox(DURABLE)).messages()) as messages:
            await (await one(messages)).done()
        got = await take((await other.inbox(DURABLE)).messages(), 2)
        assert sorted(m.sequence for m in got) == [2, 3]

    async def test_retry_later_brings_it_again_with_the_next_attempt(self, bus: Bus) -> None:
        await publish(bus, 1)
        messages = (await bus.inbox(DURABLE)).messages()
        for attempt in (1, 2, 3):
            message = await one(messages)
            assert (message.sequence, message.attempt) == (1, attempt)
            await message.retry_later(0.01)

    async def test_a_message_nobody_ends_comes_again_after_the_ack_wait(self, bus: Bus) -> None:
        await publish(bus, 1)
        hasty = Durable(name="hasty", stream="EVENTS", filters=(), ack_wait_seconds=0.1)
        got = await take((await bus.inbox(hasty)).messages(), 2)
        assert [m.attempt for m in got] == [1, 2]

    async def test_working_starts_the_ack_wait_anew(self, bus: Bus) -> None:
        await publish(bus, 2)
        hasty = Durable(name="hasty", stream="EVENTS", filters=(), ack_wait_seconds=1.5)
        messages = (await bus.inbox(hasty)).messages()
        kept, _ = await take(messages, 2)
        again = asyncio.ensure_future(_kept(messages))
        while not again.done():
            await kept.working()
            await asyncio.wait({again}, timeout=0.02)
        assert again.result().sequence == 2, "the one that was worked on did not come first"

    async def test_a_buried_message_lies_among_the_dead_with_its_story(self, bus: Bus) -> None:
        given = envelope(subject="blog")
        await bus.publish(PUSHED, given, b"bad")
        messages = (await bus.inbox(DURABLE)).messages()
        await (await one(messages)).bury("cannot\nbe read")
        dead = (await bus.read("DEAD"))[0]
        assert dead.subject == "deis.dead.event.blog.push.received"
        assert dead.data == b"bad"
        assert from_headers(dead.headers) == given
        told = letter(dead)
        assert (told.subject, told.durable, told.attempt) == (PUSHED, "builder", 1)
        assert (told.reason, told.type, told.app) == ("cannot be read", "push.received", "blog")
        assert bus.counts.buried == 1
        await publish(bus, 1)
        assert (await one(messages)).sequence == 2

    async def test_a_message_is_buried_once_even_if_told_twice(self, bus: Bus) -> None:
        await publish(bus, 1)
        message = await one((await bus.inbox(DURABLE)).messages())
        await message.bury("bad")
        await message.bury("bad")
        assert await bus.stream_bounds("DEAD") == (1, 1)

    async def test_reports_go_once_they_are_done(self, bus: Bus) -> None:
        subject = subjects.report("blog", "build.done")
        await bus.publish(subject, envelope("build.done"), b"{}")
        durable = Durable(name="controller", stream="REPORTS", filters=(subjects.REPORTS,))
        await (await one((await bus.inbox(durable)).messages())).done()

        async def empty() -> bool:
            return await bus.stream_bounds("REPORTS") == (2, 1)

        await until(empty)

    async def test_not_more_is_in_flight_than_allowed(self, bus: Bus) -> None:
        await publish(bus, 3)
        narrow = Durable(name="narrow", stream="EVENTS", filters=(), max_in_flight=2)
        messages = (await bus.inbox(narrow)).messages()
        first, _ = await take(messages, 2)
        third = asyncio.ensure_future(_kept(messages))
        await until(bus.ready)
        assert not third.done()
        await first.done()
        assert (await asyncio.wait_for(third, PATIENCE)).sequence == 3

    async def test_a_durable_can_be_forgotten(self, bus: Bus) -> None:
        await publish(bus, 1)
        async with contextlib.aclosing((await bus.inbox(DURABLE)).messages()) as messages:
            await (await one(messages)).done()
        assert await bus.durables("EVENTS") == ["builder"]
        assert await bus.forget("EVENTS", "builder")
        assert not await bus.forget("EVENTS", "builder")
        assert await bus.durables("EVENTS") == []
        assert (await one((await bus.inbox(DURABLE)).messages())).sequence == 1

    async def test_a_replay_gives_what_there_is_and_then_what_comes(self, bus: Bus) -> None:
        await publish(bus, 3)
        replay = bus.replay("EVENTS", ("deis.event.blog.>",), 2)
        assert [m.sequence for m in await take(replay, 2)] == [2, 3]
        await publish(bus, 1, subjects.event("shop", "push.received"))
        await publish(bus, 1)
        assert (await one(replay)).sequence == 5

    async def test_a_replay_may_begin_behind_the_end(self, bus: Bus) -> None:
        await publish(bus, 1)
        replay = bus.replay("EVENTS", (), 2)
        waiting = asyncio.ensure_future(_kept(replay))
        await until(bus.ready)
        await publish(bus, 1)
        assert (await asyncio.wait_for(waiting, PATIENCE)).sequence == 2

    async def test_a_long_replay_is_whole_and_in_order(self, bus: Bus) -> None:
        await at_once(700, lambda _: bus.publish(PUSHED, envelope(), b""))
        got = await take(bus.replay("EVENTS", ()), 700)
        assert [m.sequence for m in got] == list(range(1, 701))

    async def test_reading_ends_with_what_there_is(self, bus: Bus) -> None:
        assert await bus.read("EVENTS") == []
        await publish(bus, 4)
        await publish(bus, 1, subjects.event("shop", "app.created"))
        assert [m.sequence for m in await bus.read("EVENTS")] == [1, 2, 3, 4, 5]
        assert [m.sequence for m in await bus.read("EVENTS", start=4)] == [4, 5]
        assert [m.sequence for m in await bus.read("EVENTS", limit=2)] == [1, 2]
        assert [m.sequence for m in await bus.read("EVENTS", ("deis.event.shop.>",))] == [5]

    async def test_bounds_follow_what_is_held(self, bus: Bus) -> None:
        assert await bus.stream_bounds("EVENTS") == (1, 0)
        await publish(bus, 3)
        assert await bus.stream_bounds("EVENTS") == (1, 3)
        assert await bus.remove("EVENTS", 1)
        assert not await bus.remove("EVENTS", 1)
        assert not await bus.remove("EVENTS", 99)
        assert await bus.stream_bounds("EVENTS") == (2, 3)

    async def test_the_epoch_is_a_word_and_stays(self, bus: Bus, other: Bus) -> None:
        epoch = await bus.stream_epoch("EVENTS")
        assert epoch.isalnum()
        await publish(bus, 1)
        await bus.ensure(STREAMS, BUCKETS)
        assert await other.stream_epoch("EVENTS") == epoch

    async def test_a_full_stream_lets_the_oldest_go(self, bus: Bus) -> None:
        small = Stream(
            name="SMALL", subjects=("deis.small.>",), max_age_seconds=3600, max_bytes=64 * 1024
        )
        await bus.ensure((small,), ())
        for _ in range(5):
            await bus.store("deis.small.a", bytes(20 * 1024), {})
        first, last = await bus.stream_bounds("SMALL")
        assert last == 5
        assert 1 < first <= 5

    async def test_ensuring_again_changes_what_may_change(self, bus: Bus) -> None:
        await publish(bus, 1)
        longer = Stream(
            name="EVENTS",
            subjects=(subjects.EVENTS,),
            max_age_seconds=EVENTS.max_age_seconds / 2,
            max_bytes=EVENTS.max_bytes,
        )
        await bus.ensure((longer, REPORTS), BUCKETS)
        assert await bus.stream_bounds("EVENTS") == (1, 1)

    async def test_a_stream_nobody_made_is_unavailable(self, bus: Bus) -> None:
        with pytest.raises(Unavailable):
            await bus.inbox(Durable(name="x", stream="NOWHERE", filters=()))
        with pytest.raises(Unavailable):
            await bus.stream_bounds("NOWHERE")
        with pytest.raises(Unavailable):
            await bus.read("NOWHERE")


async def _kept(source: AsyncIterator[T]) -> T:
    return await anext(source)
