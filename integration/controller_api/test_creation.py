"""An application's name is asked of the runtime while no transaction is open, and state decides."""

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

import pytest

from deis_bus.contracts.runtime import AppRef, AppSpec, Artifact
from deis_bus.errors import Refused
from deis_platform.runtime.memory import MemoryRuntime
from deis_services.controller.resync import Resync
from deis_services.controller.routes import RouteWriter
from integration.controller_api.rig import Api, Reply
from integration.servers import until

pytestmark = pytest.mark.server

TAKEN = {"id": ["Application with this id already exists."]}
OPEN = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
          AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND backend_type = 'client backend'"""


class Creating:
    """Requests that wait for the runtime's claim until they are let go."""

    def __init__(self, api: Api, runtime: MemoryRuntime) -> None:
        self.runtime = runtime
        self.go = asyncio.Event()
        runtime.claiming = self.go
        self.api = Api(replace(api.deps, runtime=runtime))
        self.api.tokens = api.tokens

    def begin(self, name: str = "amber", who: str = "ada", **more: Any) -> asyncio.Task[Reply]:
        """One more."""
        return asyncio.create_task(self.api.send("apps.create", who, {"id": name}, **more))

    async def claimed(self, count: int) -> list[AppRef]:
        """Wait until so many have come to the claim."""
        await until(lambda: len(self.runtime.claims) == count, "the claims")
        return self.runtime.claims

    async def apps(self) -> list[tuple[str, str]]:
        """Names and identities that there are."""
        rows = await self.api.rows("SELECT id, uuid::text AS uuid FROM apps ORDER BY id")
        return [(row["id"], row["uuid"]) for row in rows]

    async def reserved(self) -> list[str]:
        """Names that are kept for applications to be."""
        return [row["id"] for row in await self.api.rows("SELECT id FROM reservations")]


@pytest.fixture
async def creating(api: Api) -> Creating:
    for name in ("ada", "eve"):
        await api.user(name)
    return Creating(api, MemoryRuntime())


async def cut_off(task: asyncio.Task[Reply]) -> None:
    """The controller dies here."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_no_transaction_is_open_while_the_runtime_is_asked(creating: Creating) -> None:
    task = creating.begin()
    (claimed,) = await creating.claimed(1)
    assert (await creating.api.rows(OPEN))[0]["count"] == 0
    assert await creating.apps() == []
    creating.go.set()
    assert (await task).status == 201
    assert await creating.apps() == [("amber", claimed.appuuid)]
    assert await creating.reserved() == []


async def test_who_asks_again_after_a_crash_claims_the_same_thing(creating: Creating) -> None:
    task = creating.begin()
    await creating.claimed(1)
    await cut_off(task)
    assert await creating.apps() == []
    creating.go.set()
    assert (await creating.begin(who="eve")).status == 201
    first, second = creating.runtime.claims
    assert first == second
    assert await creating.apps() == [("amber", first.appuuid)]


async def test_of_two_at_once_one_gets_the_name(creating: Creating) -> None:
    tasks = [creating.begin(), creating.begin(who="eve")]
    first, second = await creating.claimed(2)
    assert first == second
    creating.go.set()
    replies = sorted([await task for task in tasks], key=lambda reply: reply.status)
    assert [reply.status for reply in replies] == [201, 400]
    assert replies[1].body == TAKEN
    assert len(await creating.apps()) == 1


async def test_a_repeat_at_once_gets_the_first_answer(creating: Creating) -> None:
    tasks = [creating.begin(once="k1"), creating.begin(once="k1")]
    await creating.claimed(2)
    creating.go.set()
    first, second = [await task for task in tasks]
    assert first.status == second.status == 201
    assert first.body == second.body
    assert len(await creating.apps()) == 1


async def test_a_name_that_came_and_went_meanwhile_gives_no_identity_twice(
    creating: Creating,
) -> None:
    slow = creating.begin()
    await creating.claimed(1)
    async with creating.api.deps.db.transaction() as tx:
        # Somebody else's creation of that name ended, and so did the application.
        await tx.execute("DELETE FROM reservations")
    creating.go.set()
    with pytest.raises(Refused, match="came and went") as caught:
        await slow
    assert caught.value.code == 503
    assert await creating.apps() == []


async def test_a_name_in_use_is_not_asked_for(creating: Creating) -> None:
    creating.go.set()
    await creating.begin()
    creating.runtime.claims.clear()
    reply = await creating.begin(who="eve")
    assert (reply.status, reply.body) == (400, TAKEN)
    assert creating.runtime.claims == []
    assert await creating.reserved() == []


async def test_a_foreign_name_is_told_and_forgotten(creating: Creating) -> None:
    creating.go.set()
    creating.runtime.foreign.add("amber")
    reply = await creating.begin()
    assert (reply.status, reply.body["detail"]) == (409, "amber is the name of something else")
    assert await creating.reserved() == []
    creating.runtime.foreign.clear()
    assert (await creating.begin()).status == 201


async def test_what_is_being_created_is_no_leftover_until_it_is_old(creating: Creating) -> None:
    runtime, deps = creating.runtime, creating.api.deps
    task = creating.begin()
    (claimed,) = await creating.claimed(1)
    await cut_off(task)
    await runtime.apply(held(claimed))
    resync = Resync(deps, RouteWriter(deps.bus, deps.db, lambda: None), lambda _: None)
    await resync.compare()
    assert runtime.removed == []
    async with deps.db.transaction() as tx:
        await tx.execute("UPDATE reservations SET created = now() - interval '11 minutes'")
    await resync.compare()
    assert [ref.appuuid for ref in runtime.removed] == [claimed.appuuid]
    assert await creating.reserved() == []


def held(app: AppRef) -> AppSpec:
    """Something that a runtime holds of it."""
    return AppSpec(
        app=app.app,
        appuuid=app.appuuid,
        generation=1,
        release=2,
        artifact=Artifact(slug="a"),
        environment={},
        processes=(),
    )
