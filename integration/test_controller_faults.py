"""The controller while its servers are killed or hang, or it is: all goes on, nothing twice."""

import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from deis_bus.contracts.http import (
    OPERATION_READ,
    ApiAnswer,
    ApiCall,
    OperationRead,
    OperationState,
    method,
)
from deis_bus.contracts.push import PUSH_RENEW, PushRenew
from deis_bus.errors import Refused, Transient
from deis_bus.jetstream import JetStreamBus, connect
from deis_bus.ports import Bus
from deis_bus.routes import app_key
from deis_bus.rpc import call
from deis_bus.streams import BUCKETS, ROUTES, STREAMS
from deis_platform.crypto import Keyring
from deis_platform.database import Database, open_database
from deis_platform.migrations import migrate
from deis_platform.runtime.memory import MemoryRuntime
from integration.controller_process import Processes, runtime_service
from integration.controller_rig import (
    IMAGE,
    OWNER,
    Controller,
    controller,
    deployed,
    settings_of,
    tokens,
)
from integration.databases import settings_of as database_of
from integration.servers import RunningNats, RunningPostgres, nats_server, postgres_server, until

pytestmark = pytest.mark.server


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[tuple[RunningNats, RunningPostgres]]:
    """Servers of this test alone, which it may kill."""
    async with nats_server(tmp_path) as nats, postgres_server(tmp_path) as postgres:
        async with open_database(database_of(postgres)) as db:
            await migrate(db, OWNER)
        yield nats, postgres


@pytest.fixture
async def alone(
    servers: tuple[RunningNats, RunningPostgres], tmp_path: Path
) -> AsyncIterator[Controller]:
    """A controller on servers that may be killed; short statements and leases."""
    nats, postgres = servers
    database = replace(database_of(postgres), statement_seconds=1.0)
    settings = settings_of(database, tmp_path, lease_seconds=2.0)
    async with connect(nats.url, "controller") as bus:
        await bus.ensure(STREAMS, BUCKETS)
        async with controller(settings, bus, MemoryRuntime(bus)) as made:
            await made.api.user("ada")
            await deployed(made)
            yield made


async def set_config(made: Controller, **values: str) -> None:
    """A change that succeeds, however long its dependencies take to come back."""
    reply = await made.api.send("config.set", "ada", {"values": values}, app="amber")
    assert (await made.ended(reply)).state == "succeeded"


async def test_a_killed_bus_is_waited_for(
    alone: Controller, servers: tuple[RunningNats, RunningPostgres]
) -> None:
    bus = alone.deps.bus
    os.kill(servers[0].server.pid, signal.SIGKILL)
    await until(lambda: bus.counts.disconnects > 0, "the loss")
    await set_config(alone, A="1")
    await until(lambda: _all_told(alone), "every event is on the stream")


async def test_a_killed_database_is_waited_for(
    alone: Controller, servers: tuple[RunningNats, RunningPostgres]
) -> None:
    alone.runtime.script("hold", release=3)
    reply = await alone.api.send("config.set", "ada", {"values": {"A": "1"}}, app="amber")
    await alone.deploys(3)
    os.kill(servers[1].server.pid, signal.SIGKILL)
    await until(lambda: alone.leader.terms == 2, "another term")
    await until(alone.deps.db.ready, "the database")
    alone.runtime.make_ready("amber")
    assert (await alone.ended(reply)).state == "succeeded"
    await set_config(alone, B="2")
    await until(lambda: _all_told(alone), "every event is on the stream")
    assert [version for version, _ in await alone.releases()] == [1, 2, 3, 4]


async def test_a_hung_database_is_waited_for(alone: Controller, servers: Any) -> None:
    rows = await alone.api.rows("SELECT pid FROM pg_stat_activity")
    stopped = [servers[1].server.pid, *(row["pid"] for row in rows)]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(Refused) as caught:
            await alone.api.send("apps.read", "ada", app="amber")
        assert caught.value.code == 503
        await until(lambda: not alone.leader.leads, "nobody leads")
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    await until(alone.deps.db.ready, "the database")
    await set_config(alone, A="1")


async def _routed(bus: Bus) -> bool:
    try:
        return await bus.keys(ROUTES).get(app_key("amber")) is not None
    except Transient:
        return False


async def test_a_bus_that_comes_back_empty_is_filled_again(
    alone: Controller, servers: tuple[RunningNats, RunningPostgres], tmp_path: Path
) -> None:
    nats, bus = servers[0], alone.deps.bus
    os.kill(nats.server.pid, signal.SIGSTOP)
    shutil.rmtree(tmp_path / "nats" / "store")
    os.kill(nats.server.pid, signal.SIGKILL)
    await until(lambda: bus.counts.reconnects > 0, "the server")
    await until(lambda: _ensured(bus), "the streams")
    await until(lambda: _all_told(alone), "every event is on the stream again")
    # Without a change of the application: the leader sees that the bucket lacks it.
    await until(lambda: _routed(bus), "the route is written again")
    await set_config(alone, A="1")


async def test_an_outage_ends_no_build(
    alone: Controller, servers: tuple[RunningNats, RunningPostgres]
) -> None:
    app = (await alone.api.send("apps.read", "ada", app="amber")).body["uuid"]
    async with alone.deps.db.transaction() as tx:
        push = await tx.fetchval(
            """INSERT INTO pushes (uuid, app, number, user_id, username, state, holder, attempt,
                                   lease_until)
               VALUES (gen_random_uuid(), $1::uuid, 1, 1, 'ada', 'building', 'w', 1,
                       now() + interval '2 seconds') RETURNING uuid::text""",
            app,
        )
    renew = PushRenew(push, "w", 1)
    await alone.api.ask(PUSH_RENEW, renew)
    nats = servers[0].server.pid
    os.kill(nats, signal.SIGSTOP)
    try:
        await until(lambda: _expired(alone), "the lease ran out long ago")
    finally:
        os.kill(nats, signal.SIGCONT)
    await until(alone.deps.bus.ready, "the bus")
    await alone.api.ask(PUSH_RENEW, renew)
    assert await alone.api.rows("SELECT state FROM pushes") == [{"state": "building"}]

    async def given_up() -> bool:
        return await alone.api.rows("SELECT state FROM pushes") == [{"state": "queued"}]

    await until(given_up, "a lease that is not renewed runs out")


async def test_killed_controllers_lose_and_double_nothing(
    servers: tuple[RunningNats, RunningPostgres], tmp_path: Path
) -> None:
    nats, postgres = servers
    processes = Processes(tmp_path, nats, postgres)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(processes.end)
        bus = await stack.enter_async_context(connect(nats.url, "gateway"))
        runtime = MemoryRuntime(bus)
        await stack.enter_async_context(runtime_service(bus, runtime))
        db = await stack.enter_async_context(open_database(database_of(postgres)))
        first, second = await processes.start(), await processes.start()
        await until(lambda: _found(bus, 2), "two controllers")
        keyring = Keyring.open(tmp_path / "master.key")
        person = Person(bus, keyring)
        account = {"username": "ada", "password": "correct horse", "email": ""}
        assert (await person.send("auth.register", account)).status == 201
        person.token = tokens(keyring)
        assert (await person.send("apps.create", {"id": "amber"})).status == 201
        assert (await person.ended(await person.send("builds.create", IMAGE, app="amber"))).answer
        runtime.script("hold", release=3)
        reply = await person.send("config.set", {"values": {"A": "1"}}, app="amber")
        await until(lambda: runtime.applied[-1].release == 3, "the deploy is under way")
        for process in (first, second):  # whoever leads, the lead changes hands
            process.kill()
            await process.wait()
            await processes.start()
            await until(lambda: _found(bus, 2), "two controllers")
        assert (await person.state(reply)).state == "running"
        runtime.make_ready("amber")
        assert (await person.ended(reply)).state == "succeeded", processes.log()
        after = await person.send("config.set", {"values": {"B": "2"}}, app="amber")
        assert (await person.ended(after)).state == "succeeded"
        async with db.transaction() as tx:
            rows = await tx.fetch("SELECT version, state FROM releases ORDER BY version")
        assert [tuple(row) for row in rows] == [(n, "succeeded") for n in (1, 2, 3, 4)]
        assert [spec.release for spec in runtime.applied] == [2, 3, 4], "nothing runs twice"
        await until(lambda: _streamed(db, bus), "every event is on the stream, in order")


class Person:
    """Somebody who asks controllers over the bus, again where one had just died."""

    def __init__(self, bus: JetStreamBus, keyring: Keyring) -> None:
        self._bus = bus
        self._keyring = keyring
        self.token = ""

    async def send(self, name: str, body: object, **path: str) -> ApiAnswer:
        """A request to an endpoint of the table."""
        hashed = self._keyring.token_hash(self.token) if self.token else ""
        raw = msgspec.Raw(msgspec.json.encode(body))
        question = ApiCall(endpoint=name, path=path, token=hashed, body=raw)
        return await call(self._bus, method(name), question)

    async def state(self, reply: ApiAnswer) -> OperationState:
        """Where an operation is."""
        return await call(self._bus, OPERATION_READ, OperationRead(reply.operation))

    async def ended(self, reply: ApiAnswer) -> OperationState:
        """An operation that has ended."""

        async def done() -> bool:
            try:
                return (await self.state(reply)).state in ("succeeded", "failed")
            except Transient:
                return False

        await until(done, "the end of the operation")
        return await self.state(reply)


async def _found(bus: JetStreamBus, count: int) -> bool:
    return len([one for one in await bus.discover() if one.name == "controller"]) == count


async def _streamed(db: Database, bus: JetStreamBus) -> bool:
    async with db.reading() as tx:
        rows = [
            str(row["id"])
            for row in await tx.fetch("SELECT id FROM events WHERE app = 'amber' ORDER BY seq")
        ]
    told = await bus.read("EVENTS", ("deis.event.amber.>",))
    return rows == [message.headers["ce-id"] for message in told]


async def _all_told(made: Controller) -> bool:
    try:
        return await _streamed(made.deps.db, cast("JetStreamBus", made.deps.bus))
    except Transient:
        return False


async def _ensured(bus: Any) -> bool:
    try:
        await bus.ensure(STREAMS, BUCKETS)
    except Transient:
        return False
    return True


async def _expired(made: Controller) -> bool:
    query = "SELECT 1 FROM pushes WHERE lease_until < now() - interval '2500 milliseconds'"
    return bool(await made.api.rows(query))
