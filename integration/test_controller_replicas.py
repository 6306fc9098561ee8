"""One controller goes on where another ended, at any step, and never beside it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from deis_bus.contracts.runtime import AppSpec
from deis_bus.jetstream import JetStreamBus
from deis_platform.crypto import Keyring
from deis_platform.database import Database, Transaction
from deis_platform.runtime.memory import MemoryRuntime
from integration.bus_rig import OnNats
from integration.controller_rig import OWNER, Controller, controller, deployed, settings_of, tokens
from integration.databases import admin, fresh_database
from integration.servers import RunningPostgres, until

pytestmark = pytest.mark.server


@asynccontextmanager
async def platform(
    bus: JetStreamBus, postgres: RunningPostgres, folder: Path, **changes: float
) -> AsyncIterator[Controller]:
    """Ada's application `amber` as v2."""
    settings = settings_of(await fresh_database(postgres, OWNER), folder, **changes)
    async with controller(settings, bus, MemoryRuntime(bus)) as made:
        await made.api.user("ada")
        await deployed(made)
        yield made


@pytest.fixture
async def amber(
    bus: JetStreamBus, postgres: RunningPostgres, tmp_path: Path
) -> AsyncIterator[Controller]:
    async with platform(bus, postgres, tmp_path) as made:
        yield made


class CutOff:
    """A database whose user ends at a certain step, as if killed: before or after a commit."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self._db: Any = None
        self._left: int | None = None

    def over(self, db: Database) -> Database:
        """Stand before that one."""
        self._db = db
        return cast("Database", self)

    def arm(self, steps: int) -> None:
        """So many steps are left."""
        self._left = steps

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    async def _step(self) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                self.reached.set()
                await asyncio.Event().wait()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """A step, a transaction, and another step."""
        await self._step()
        async with self._db.transaction() as tx:
            yield tx
        await self._step()


LEADER = """SELECT a.pid FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
            WHERE l.locktype = 'advisory' AND a.datname = current_database()
            ORDER BY a.backend_start"""


class TestSteps(OnNats):
    @pytest.mark.parametrize("kind", ["config.set", "apps.scale", "apps.destroy", "failing"])
    async def test_another_replica_goes_on_from_wherever_one_was_killed(
        self, bus: JetStreamBus, postgres: RunningPostgres, tmp_path: Path, kind: str
    ) -> None:
        database = await fresh_database(postgres, OWNER)
        settings, keyring = settings_of(database, tmp_path), Keyring.generate()
        runtime, step, cut_short = MemoryRuntime(bus), 0, True
        runtime.script("crash", release=3 if kind == "failing" else 99)
        while cut_short:
            app, cut = f"app{step}", CutOff()
            async with controller(settings, bus, runtime, keyring, cut.over) as first:
                if not step:
                    await first.api.user("ada")
                first.api.tokens["ada"] = tokens(keyring)
                await deployed(first, app)
                cut.arm(step)
                name, body = REQUESTS[kind]
                reply = await first.api.send(name, "ada", body, app=app)
                ends = (first.ended(reply), cut.reached.wait())
                tasks = [asyncio.ensure_future(end) for end in ends]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                cut_short = cut.reached.is_set()
                for task in tasks:
                    task.cancel()
            async with controller(settings, bus, runtime, keyring) as second:
                second.api.tokens["ada"] = tokens(keyring)
                end = await second.ended(reply)
                assert end.state == ("failed" if kind == "failing" else "succeeded"), step
                await self._once(second, app, kind)
            step += 1
        # Whether the moment after its last transaction is one more depends on who is faster.
        assert step > 5, "the operation was cut off between its steps"

    async def _once(self, made: Controller, app: str, kind: str) -> None:
        told = [event[0] for event in await made.api.events() if event[1] == app]
        assert told.count("operation.done") == 2  # the build's and this one's
        if kind == "apps.destroy":
            assert told.count("app.destroyed") == 1
            assert app not in {ref.app for ref in await made.runtime.held()}
            return
        releases = await made.releases(app)
        if kind == "apps.scale":
            assert releases == [(1, "succeeded"), (2, "succeeded")]
            assert told.count("app.scaled") == 1
            return
        ended = "failed" if kind == "failing" else "succeeded"
        assert releases == [(1, "succeeded"), (2, "succeeded"), (3, ended)]
        assert told.count("release.created") == 3
        assert told.count("deploy.failed") == (kind == "failing")

    async def test_a_lost_connection_ends_the_work_before_another_term(
        self, amber: Controller, postgres: RunningPostgres, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        apply = amber.runtime.apply
        at_work: list[str] = []

        async def endless(spec: AppSpec) -> None:
            if amber.leader.terms > 1:
                assert at_work == ["begun", "cancelled"]
                await apply(spec)
                return
            at_work.append("begun")
            try:
                await asyncio.Event().wait()
            finally:
                at_work.append("cancelled")

        monkeypatch.setattr(amber.runtime, "apply", endless)
        reply = await amber.api.send("config.set", "ada", {"values": {"A": "1"}}, app="amber")
        await until(lambda: at_work == ["begun"], "the work")
        for row in await amber.api.rows(LEADER):
            await admin(postgres, f"SELECT pg_terminate_backend({row['pid']})")
        assert (await amber.ended(reply)).state == "succeeded"
        assert at_work == ["begun", "cancelled"]
        assert amber.leader.terms == 2

    async def test_a_replica_that_stands_by_takes_over(
        self, bus: JetStreamBus, postgres: RunningPostgres, tmp_path: Path
    ) -> None:
        settings = settings_of(await fresh_database(postgres, OWNER), tmp_path)
        keyring, runtime = Keyring.generate(), MemoryRuntime(bus)
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(controller(settings, bus, runtime, keyring))
            await first.api.user("ada")
            await deployed(first)
            async with controller(settings, bus, runtime, keyring) as second:
                second.api.tokens = first.api.tokens
                body = {"values": {"A": "1"}}
                # A write through the replica that does not lead wakes the one that does.
                reply = await second.api.send("config.set", "ada", body, app="amber")
                assert (await second.ended(reply)).state == "succeeded"
                assert (first.leader.leads, second.leader.leads) == (True, False)
                await stack.aclose()
                await until(lambda: second.leader.leads, "the other one leads")
                body = {"values": {"A": "2"}}
                reply = await second.api.send("config.set", "ada", body, app="amber")
                assert (await second.ended(reply)).state == "succeeded"
                assert [spec.release for spec in runtime.applied] == [2, 3, 4]


REQUESTS: dict[str, tuple[str, object]] = {
    "config.set": ("config.set", {"values": {"A": "1"}}),
    "failing": ("config.set", {"values": {"A": "1"}}),
    "apps.scale": ("apps.scale", {"cmd": 2}),
    "apps.destroy": ("apps.destroy", None),
}
