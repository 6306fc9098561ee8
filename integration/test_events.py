"""Events from row to stream on real servers: nothing lost, nothing doubled, each app in order."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

import pytest

from deis_bus.clock import new_id
from deis_bus.envelope import from_headers
from deis_bus.errors import Transient
from deis_bus.events.apps import AppScaled, UserRegistered
from deis_bus.jetstream import JetStreamBus
from deis_bus.ports import Received
from deis_bus.streams import EVENTS
from deis_platform import events
from deis_platform.database import Database, Transaction, open_database
from deis_platform.events import CHANNEL, EVENTS_DDL, EventRelay, announce
from integration.bus_rig import OnNats
from integration.controller_rig import OWNER
from integration.databases import fresh_database
from integration.servers import RunningPostgres, until

pytestmark = pytest.mark.server

APP = new_id()


@pytest.fixture
async def db(postgres: RunningPostgres) -> AsyncIterator[Database]:
    async with open_database(await fresh_database(postgres, OWNER)) as database:
        yield database


@asynccontextmanager
async def relaying(db: Database, bus: JetStreamBus) -> AsyncIterator[EventRelay]:
    """A relay that is cut off at the end."""
    relay = EventRelay(db, bus)
    task = asyncio.create_task(relay.run(asyncio.Event()))
    try:
        yield relay
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def tell(db: Database, number: int, app: str = "amber", **fields: str) -> str:
    """An event in a transaction of its own; gives its id."""
    async with db.transaction() as tx:
        return await scaled(tx, number, app, **fields)


async def scaled(tx: Transaction, number: int, app: str = "amber", **fields: str) -> str:
    """An event with a number in it."""
    event = AppScaled(counts={"web": number})
    return await announce(tx, app=app, appuuid=APP, event=event, **fields)


async def all_sent(db: Database) -> None:
    """Until no row waits."""

    async def none() -> bool:
        async with db.reading() as tx:
            return not await tx.fetchval("SELECT count(*) FROM events WHERE sent IS NULL")

    await until(none, "every event is sent")


def ids(messages: list[Received]) -> list[str]:
    """Identities of events."""
    return [from_headers(message.headers).id for message in messages]


class TestEvents(OnNats):
    async def test_a_committed_row_comes_to_the_stream(
        self, db: Database, bus: JetStreamBus
    ) -> None:
        async with relaying(db, bus):
            told = await tell(
                db, 1, actor="ada", traceparent="00-1", correlation="r1", causation="o1"
            )
            with contextlib.suppress(ZeroDivisionError):
                async with db.transaction() as tx:
                    await scaled(tx, 2)
                    raise ZeroDivisionError
            async with db.transaction() as tx:
                await announce(tx, app="_", appuuid="", event=UserRegistered(username="ada"))
            await all_sent(db)
        first, second = await bus.read("EVENTS")
        assert (first.subject, first.data) == (
            "deis.event.amber.app.scaled",
            b'{"counts":{"web":1}}',
        )
        envelope = from_headers(first.headers)
        assert (envelope.id, envelope.appuuid, envelope.actor) == (told, APP, "ada")
        assert (envelope.correlationid, envelope.causationid) == ("r1", "o1")
        assert (envelope.source, envelope.schemaversion) == ("controller", 1)
        assert first.headers["Nats-Msg-Id"] == told
        assert second.subject == "deis.event._.user.registered"

    async def test_a_name_that_is_no_token_is_refused_before_it_is_written(
        self, db: Database
    ) -> None:
        with pytest.raises(ValueError, match="token"):
            await tell(db, 1, app="a.b")
        with pytest.raises(ValueError, match="UUID"):
            await tell(db, 1, event_id="seven")

    async def test_one_app_is_told_in_the_order_of_its_commits(
        self, db: Database, bus: JetStreamBus
    ) -> None:
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO users (username, password) VALUES ('ada', '')")
            for name in ("amber", "birch"):
                await tx.execute("INSERT INTO apps (id, owner_id) VALUES ($1, 1)", name)

        async def change(name: str) -> None:
            async with db.transaction() as tx:
                number = await tx.fetchval(
                    "UPDATE apps SET generation = generation + 1 WHERE id = $1 RETURNING generation",
                    name,
                )
                await scaled(tx, int(number), name)

        async with relaying(db, bus):
            await asyncio.gather(*(change(name) for name in ("amber", "birch") * 100))
            await all_sent(db)
        for name in ("amber", "birch"):
            told = await bus.read("EVENTS", (f"deis.event.{name}.>",))
            numbers = [int(re.sub(rb"\D", b"", message.data)) for message in told]
            assert numbers == list(range(1, 101))

    async def test_what_was_reported_twice_is_told_once(
        self, db: Database, bus: JetStreamBus
    ) -> None:
        reported = new_id()
        async with relaying(db, bus):
            for _ in range(2):
                assert await tell(db, 1, event_id=reported, source="runtime") == reported
            await all_sent(db)
            await tell(db, 1, event_id=reported, source="runtime")
            await tell(db, 2)
            await all_sent(db)
        told = await bus.read("EVENTS")
        assert len(told) == 2
        assert from_headers(told[0].headers).source == "runtime"

    async def test_a_crash_between_publish_and_mark_doubles_nothing(
        self, db: Database, bus: JetStreamBus
    ) -> None:
        async with relaying(db, bus):
            told = [await tell(db, number) for number in range(5)]
            await all_sent(db)
        async with db.transaction() as tx:
            await tx.execute("UPDATE events SET sent = NULL")
        async with relaying(db, bus):
            await all_sent(db)
        assert ids(await bus.read("EVENTS")) == told

    async def test_a_lost_stream_is_filled_again(self, db: Database, bus: JetStreamBus) -> None:
        async with relaying(db, bus):
            told = [await tell(db, number) for number in range(20)]
            await all_sent(db)
            await _delete(bus)
            told.append(await tell(db, 20))
            await until(lambda: _holds(bus, 21), "all of them again")
        assert ids(await bus.read("EVENTS")) == told
        await _delete(bus)
        async with relaying(db, bus):  # nobody relayed when it was lost
            await until(lambda: _holds(bus, 21), "all of them again")
        assert ids(await bus.read("EVENTS")) == told

    async def test_an_answer_that_was_late_fills_nothing_again(
        self, db: Database, bus: JetStreamBus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(events, "BATCH", 3)
        async with relaying(db, bus) as relay:
            for number in range(20):
                await tell(db, number)
            await all_sent(db)
            async with db.transaction() as tx:  # as where its acknowledgement had been lost
                await tx.execute("UPDATE events SET sent = NULL WHERE seq = 1")
            await tell(db, 20)
            await all_sent(db)
            await until(lambda: relay.published >= 22, "the relay has counted them")
            assert relay.published == 22

    async def test_a_stream_lost_within_a_batch_is_filled_whole(
        self, db: Database, bus: JetStreamBus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(events, "BATCH", 3)
        async with relaying(db, bus):
            for number in range(20):
                await tell(db, number)
            await all_sent(db)
            publish = bus.publish
            published = 0

            async def losing(*args: Any) -> int:
                nonlocal published
                published += 1
                if published == 2:
                    await _delete(bus)
                    await bus.ensure((EVENTS,), ())
                return await publish(*args)

            monkeypatch.setattr(bus, "publish", losing)
            async with db.transaction() as tx:
                told = {await scaled(tx, number) for number in (20, 21)}
            await until(lambda: _holds(bus, 22), "all of them again")
        assert told <= set(ids(await bus.read("EVENTS")))

    async def test_one_relay_at_a_time(self, db: Database, bus: JetStreamBus) -> None:
        async with relaying(db, bus) as second:
            await tell(db, 0)
            await all_sent(db)
            async with relaying(db, bus) as standing_by:
                told = [await tell(db, number) for number in range(1, 10)]
                await all_sent(db)
                # It counts once the database has told it what we have seen already.
                await until(lambda: second.published == 10, "the relay has counted them")
                assert standing_by.published == 0
        async with relaying(db, bus) as third:
            told.append(await tell(db, 10))
            await all_sent(db)
            await until(lambda: third.published == 1, "the next relay has counted it")
        assert ids(await bus.read("EVENTS"))[1:] == told

    async def test_a_commit_tells_whose_it_is(self, db: Database) -> None:
        heard: asyncio.Queue[str] = asyncio.Queue()
        async with db.dedicated() as line:
            await line.listen(CHANNEL, heard.put_nowait)
            await tell(db, 1)
            assert await asyncio.wait_for(heard.get(), 10) == APP

    async def test_old_rows_go_once_they_are_sent(self, db: Database, bus: JetStreamBus) -> None:
        async with db.transaction() as tx:
            for number in range(3):
                await scaled(tx, number)
            await tx.execute("UPDATE events SET created = now() - interval '31 days'")
            await tx.execute("UPDATE events SET sent = now() WHERE seq > 1")
        relay: Any = EventRelay(db, bus)
        await relay._prune()
        async with db.reading() as tx:
            assert [row["seq"] for row in await tx.fetch("SELECT seq FROM events")] == [1]


def test_the_migration_makes_the_table_of_the_floor() -> None:
    text = (resources.files(OWNER) / "sql" / "0001_spine.sql").read_text(encoding="utf-8")
    assert EVENTS_DDL.strip() in text


async def _delete(bus: JetStreamBus) -> None:
    await bus.request(f"$JS.API.STREAM.DELETE.{EVENTS.name}", b"", {}, 5.0)


async def _holds(bus: JetStreamBus, count: int) -> bool:
    try:
        return len(await bus.read("EVENTS")) == count
    except Transient:
        return False  # the stream is away for a moment
