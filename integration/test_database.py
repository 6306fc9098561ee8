"""The database against a real PostgreSQL: transactions, faults, hangs, locks."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg
import pytest

from deis_bus.errors import Transient
from deis_platform.database import CommitUnknown, Conflict, Database, open_database
from deis_platform.database.faults import at_connect, mapped
from deis_platform.groups import DatabaseSettings
from deis_platform.migrations import LOCK, migrate
from integration.controller_rig import OWNER
from integration.databases import admin, fresh_database, settings_of
from integration.servers import RunningPostgres, postgres_server, until

pytestmark = pytest.mark.server


@pytest.fixture
async def db(postgres: RunningPostgres) -> AsyncIterator[Database]:
    """An empty database with one table."""
    async with open_database(await fresh_database(postgres)) as database:
        async with database.transaction() as tx:
            await tx.execute("CREATE TABLE things (name text CONSTRAINT one_name UNIQUE)")
        yield database


async def names(db: Database) -> list[str]:
    """What is committed."""
    async with db.reading() as tx:
        return [row["name"] for row in await tx.fetch("SELECT name FROM things ORDER BY name")]


async def test_a_transaction_is_kept_whole_or_not_at_all(db: Database) -> None:
    async with db.transaction() as tx:
        assert await tx.execute("INSERT INTO things VALUES ($1), ($2)", "a", "b") == 2

    async def fail() -> None:
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO things VALUES ('c')")
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await names(db) == ["a", "b"]


async def test_a_double_is_a_conflict_that_names_its_constraint(db: Database) -> None:
    async with db.transaction() as tx:
        await tx.execute("INSERT INTO things VALUES ('a')")
    with pytest.raises(Conflict) as raised:
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO things VALUES ('a')")
    assert raised.value.constraint == "one_name"
    assert "'a'" not in str(raised.value)


async def test_a_fault_that_was_swallowed_does_not_look_committed(db: Database) -> None:
    async with db.transaction() as tx:
        await tx.execute("INSERT INTO things VALUES ('a')")

    async def swallow() -> None:
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO things VALUES ('b')")
            with pytest.raises(Conflict):
                await tx.execute("INSERT INTO things VALUES ('a')")

    with pytest.raises(RuntimeError, match="had failed"):
        await swallow()
    assert await names(db) == ["a"]


async def test_a_cancelled_transaction_leaves_nothing_and_no_lock(db: Database) -> None:
    inside = asyncio.Event()

    async def work() -> None:
        async with db.transaction() as tx:
            await tx.execute("LOCK TABLE things IN ACCESS EXCLUSIVE MODE")
            await tx.execute("INSERT INTO things VALUES ('a')")
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await names(db) == []


async def test_more_callers_than_connections_are_served_in_turn(db: Database) -> None:
    async def add(number: int) -> None:
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO things VALUES ($1)", f"{number:03}")

    await asyncio.gather(*(add(number) for number in range(60)))
    assert len(await names(db)) == 60


async def test_a_statement_that_takes_too_long_is_transient(postgres: RunningPostgres) -> None:
    settings = await fresh_database(postgres)
    quick = DatabaseSettings(
        url=settings.url, password_file=settings.password_file, statement_seconds=0.2
    )
    async with open_database(quick) as db:
        with pytest.raises(Transient):
            async with db.transaction() as tx:
                await tx.execute("SELECT pg_sleep(30)")
        await until(db.ready, "the next statement")


async def test_a_database_that_is_not_there_is_transient_and_comes_later(tmp_path: Path) -> None:
    async with postgres_server(tmp_path) as running:
        settings = settings_of(running)
    async with open_database(settings) as db:
        assert not await db.ready()
        with pytest.raises(Transient):
            async with db.transaction():
                pass
        with pytest.raises(Transient):
            async with db.dedicated():
                pass
        async with postgres_server(tmp_path):
            await until(db.ready, "the database is back")


async def test_kill_9_of_the_server_is_transient_and_then_over(tmp_path: Path) -> None:
    async with (
        postgres_server(tmp_path) as running,
        open_database(settings_of(running)) as db,
        db.dedicated() as line,
    ):
        assert await line.try_lock("leader")
        await until(db.ready, "the database")
        os.kill(running.server.pid, signal.SIGKILL)
        await asyncio.wait_for(line.lost.wait(), 60)
        with pytest.raises(Transient):
            await line.fetchval("SELECT 1")
        await until(db.ready, "the database is back")


@asynccontextmanager
async def hung(running: RunningPostgres) -> AsyncIterator[None]:
    """The server with all its processes, stopped for a while."""
    pids = await admin(running, "SELECT string_agg(pid::text, ' ') FROM pg_stat_activity")
    stopped = [running.server.pid, *map(int, str(pids).split())]
    for pid in stopped:
        with suppress(ProcessLookupError):  # the one that told us may have gone
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


async def test_a_hung_server_is_transient_loses_locks_and_comes_back(tmp_path: Path) -> None:
    async with postgres_server(tmp_path) as running:
        url, password = running.url, str(running.password_file)
        quick = DatabaseSettings(url=url, password_file=password, statement_seconds=0.1)
        async with open_database(quick) as db, db.dedicated() as line:
            await until(db.ready, "the database")
            async with hung(running):
                with pytest.raises(Transient):
                    async with db.transaction() as tx:
                        await tx.execute("SELECT 1")
                await asyncio.wait_for(line.lost.wait(), 60)
            await until(db.ready, "the database is back")


async def test_a_server_that_hangs_in_a_statement_loses_locks_too(tmp_path: Path) -> None:
    async with postgres_server(tmp_path) as running:
        url, password = running.url, str(running.password_file)
        quick = DatabaseSettings(url=url, password_file=password, statement_seconds=0.1)
        async with open_database(quick) as db, db.dedicated() as line, hung(running):
            with pytest.raises(Transient):
                await asyncio.wait_for(line.fetchval("SELECT 1"), 60)
            await asyncio.wait_for(line.lost.wait(), 60)


async def test_a_connection_lost_during_commit_leaves_it_open(postgres: RunningPostgres) -> None:
    settings = await fresh_database(postgres)
    async with open_database(settings) as db:
        async with db.transaction() as tx:
            # A trigger at the end of the transaction ends its own connection: during COMMIT.
            await tx.execute(
                """CREATE TABLE things (name text);
                   CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$
                   BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
                   CREATE CONSTRAINT TRIGGER die AFTER INSERT ON things
                   DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()"""
            )
        with pytest.raises(CommitUnknown):
            async with db.transaction() as tx:
                await tx.execute("INSERT INTO things VALUES ('a')")
        await until(db.ready, "the next statement")


async def test_a_lock_is_held_once_and_ends_with_its_connection(db: Database) -> None:
    async with db.dedicated() as first, db.dedicated() as second:
        assert await first.try_lock("leader")
        assert not await second.try_lock("leader")
        assert await second.try_lock("another")
    async with db.dedicated() as third:
        await until(lambda: third.try_lock("leader"), "the lock is free")


async def test_who_waits_to_migrate_learns_that_its_connection_is_gone(
    db: Database, postgres: RunningPostgres
) -> None:
    async with db.dedicated() as other:
        assert await other.try_lock(LOCK)
        holder = await other.fetchval("SELECT pg_backend_pid()")
        name = await other.fetchval("SELECT current_database()")
        waiting = asyncio.create_task(migrate(db, OWNER))
        cut = f"""SELECT bool_or(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = '{name}' AND pid <> {holder} AND query LIKE '%pg_try_advisory_lock%'"""

        async def gone() -> bool:
            return bool(await admin(postgres, cut))

        await until(gone, "somebody waits for the lock")
        with pytest.raises(Transient, match="the database"):  # away, or about to be
            await asyncio.wait_for(waiting, 40)


async def test_a_notification_is_heard(db: Database) -> None:
    heard = asyncio.Event()
    async with db.dedicated() as line:
        await line.listen("news", lambda _payload: heard.set())
        async with db.transaction() as tx:
            await tx.execute("SELECT pg_notify('news', '')")
        await asyncio.wait_for(heard.wait(), 60)


async def test_a_cancel_while_the_line_is_closed_is_not_lost(db: Database) -> None:
    inside, leave = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        async with db.dedicated():
            inside.set()
            await leave.wait()

    task = asyncio.create_task(work())
    await inside.wait()
    leave.set()
    await asyncio.sleep(0)  # it stands where the line ends
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_ending_the_line_from_outside_is_noticed(
    db: Database, postgres: RunningPostgres
) -> None:
    async with db.dedicated() as line:
        pid = await line.fetchval("SELECT pg_backend_pid()")
        await admin(postgres, f"SELECT pg_terminate_backend({pid})")
        await asyncio.wait_for(line.lost.wait(), 60)


def test_a_driver_that_is_confused_by_a_breaking_connection_is_transient() -> None:
    """asyncpg says so between a server's last word and the end of the connection."""
    fault = asyncpg.InternalClientError("cannot switch to state 11; another operation (2)")
    assert isinstance(mapped(fault), Transient)
    assert isinstance(at_connect(fault), Transient)
