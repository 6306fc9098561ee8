"""Operations on real servers, the runtime in memory: order, turns, ends, what stays behind."""

import asyncio
from typing import Any

import msgspec
import pytest

from deis_bus import subjects
from deis_bus.contracts.http import OperationRead
from deis_bus.routes import app_key
from deis_bus.streams import ROUTES
from deis_services.controller import operations, outcome, reservations, store
from deis_services.controller.model import App
from integration.amber_rig import WithAmber, kinds, send, set_config, values_of
from integration.controller_rig import IMAGE, Controller
from integration.servers import until

pytestmark = pytest.mark.server


async def row_of(made: Controller) -> App:
    """The application's row."""
    async with made.deps.db.reading() as tx:
        found = await store.app_by_id(tx, "amber")
    assert found is not None
    return found


class TestOperations(WithAmber):
    async def test_two_at_once_are_both_in_the_newest_release(self, amber: Controller) -> None:
        replies = await asyncio.gather(set_config(amber, A="1"), set_config(amber, B="2"))
        ends = [await amber.ended(reply) for reply in replies]
        assert [end.state for end in ends] == ["succeeded"] * 2
        assert await values_of(amber) == {"A": "1", "B": "2"}
        assert [version for version, _ in await amber.releases()] == [1, 2, 3, 4]
        assert [spec.release for spec in amber.runtime.applied] == [2, 3, 4]

    async def test_one_at_a_time_and_in_order(self, amber: Controller) -> None:
        amber.runtime.script("hold", release=3)
        replies = [await set_config(amber, A="1")]
        await amber.deploys(3)
        replies += [await set_config(amber, A=str(number)) for number in (2, 3)]
        assert [(await amber.state(reply)).state for reply in replies] == [
            "running", "queued", "queued",
        ]  # fmt: skip
        amber.runtime.make_ready("amber")
        for reply in replies:
            assert (await amber.ended(reply)).state == "succeeded"
        assert await values_of(amber) == {"A": "3"}
        assert [spec.environment.get("A") for spec in amber.runtime.applied[1:]] == ["1", "2", "3"]
        generations = [spec.generation for spec in amber.runtime.applied]
        assert generations == sorted(set(generations))

    async def test_who_waits_too_long_leaves_nothing_behind(self, hasty: Controller) -> None:
        hasty.runtime.script("hold", release=3)
        first = await set_config(hasty, A="1")
        await hasty.deploys(3)
        second = await set_config(hasty, B="2")
        end = await hasty.ended(second)
        assert end.answer is not None
        assert end.answer.status == 409
        assert b"Deployment for amber-cmd is already in progress" in bytes(end.answer.body)
        assert [version for version, _ in await hasty.releases()] == [1, 2, 3]
        assert len(await hasty.api.rows("SELECT 1 FROM configs")) == 2
        hasty.runtime.make_ready("amber")
        assert (await hasty.ended(first)).state == "succeeded"
        assert await values_of(hasty) == {"A": "1"}

    async def test_scaling(self, amber: Controller) -> None:
        assert (await amber.ended(await send(amber, "apps.scale", {"cmd": 3}))).state == "succeeded"
        assert (await send(amber, "apps.read")).body["structure"] == {"cmd": 3}
        assert (await send(amber, "pods.list")).body["count"] == 3
        same = await amber.ended(await send(amber, "apps.scale", {"cmd": 3}))
        assert same.answer is not None
        assert same.answer.status == 204
        other = await amber.ended(await send(amber, "apps.scale", {"worker": 1}))
        assert other.answer is not None
        assert other.answer.status == 404
        many = await amber.ended(await send(amber, "apps.scale", {"cmd": 1_000_000}))
        assert many.answer is not None
        assert many.answer.status == 400
        assert b"Must be less than or equal to 1000" in bytes(many.answer.body)
        amber.runtime.script("crash", reason="no room")
        more = await amber.ended(await send(amber, "apps.scale", {"cmd": 5}))
        assert more.answer is not None
        assert more.answer.status == 503
        assert (await send(amber, "apps.read")).body["structure"] == {"cmd": 3}
        assert [version for version, _ in await amber.releases()] == [1, 2]

    async def test_the_log_tells_of_scales_and_releases(self, amber: Controller) -> None:
        async with amber.deps.bus.subscribe(subjects.log("amber")) as batches:
            assert (await amber.ended(await send(amber, "apps.scale", {"cmd": 2}))).answer
            assert (await amber.ended(await set_config(amber, A="1"))).answer
            told = b""
            async for batch in batches:
                told += batch.data
                if b"ada scaled pods cmd=2" in told and b"ada added A" in told:
                    return

    async def test_a_restart_answers_with_the_new_instances(self, amber: Controller) -> None:
        before = (await send(amber, "pods.list")).body["results"]
        end = await amber.ended(await send(amber, "pods.restart"))
        assert end.answer is not None
        assert end.answer.status == 200
        after = (await send(amber, "pods.list")).body["results"]
        assert [pod["name"] for pod in before] != [pod["name"] for pod in after]
        assert after[0]["name"].encode() in bytes(end.answer.body)

    async def test_others_are_told_while_a_restart_takes_long(
        self, hasty: Controller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ready = asyncio.Event()
        restart = hasty.runtime.restart

        async def slow(asked: Any) -> Any:
            await ready.wait()
            return await restart(asked)

        monkeypatch.setattr(hasty.runtime, "restart", slow)
        first = await send(hasty, "pods.restart")
        await hasty.running(first)
        end = await hasty.ended(await set_config(hasty, A="1"))
        assert end.answer is not None
        assert end.answer.status == 409
        ready.set()
        assert (await hasty.ended(first)).state == "succeeded"

    async def test_a_look_with_old_rows_restarts_nothing_again(
        self, amber: Controller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, held, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        restart, read = amber.runtime.restart, operations.open_operations
        asked: list[Any] = []

        async def noted(one: Any) -> Any:
            asked.append(one)
            begun.set()
            await held.wait()
            return await restart(one)

        async def late(*args: Any) -> Any:
            rows = await read(*args)
            if begun.is_set() and not ended.is_set():
                held.set()
                await ended.wait()
            return rows

        monkeypatch.setattr(amber.runtime, "restart", noted)
        monkeypatch.setattr(operations, "open_operations", late)
        first = await send(amber, "pods.restart")
        await begun.wait()
        amber.deps.nudge((await send(amber, "apps.read")).body["uuid"])
        assert (await amber.ended(first)).state == "succeeded"
        ended.set()
        assert (await amber.ended(await set_config(amber, A="1"))).state == "succeeded"
        assert len(asked) == 1

    async def test_a_destroyed_app_is_gone(self, amber: Controller) -> None:
        uuid = (await send(amber, "apps.read")).body["uuid"]
        end = await amber.ended(await send(amber, "apps.destroy"))
        assert end.answer is not None
        assert end.answer.status == 204
        assert [ref.appuuid for ref in amber.runtime.removed] == [uuid]
        assert await amber.deps.bus.keys(ROUTES).get(app_key("amber")) is None
        for table in ("apps", "releases", "configs", "builds", "domains", "shares"):
            assert await amber.api.rows(f"SELECT 1 FROM {table}") == [], table
        assert (await kinds(amber))[-2:] == ["app.destroyed", "operation.done"]

    async def test_the_name_of_a_destroyed_app_is_free_while_the_runtime_is_away(
        self, amber: Controller
    ) -> None:
        old = (await send(amber, "apps.read")).body["uuid"]
        amber.runtime.away = True
        assert (await amber.ended(await send(amber, "apps.destroy"))).state == "succeeded"
        assert (await amber.api.send("apps.create", "eve", {"id": "amber"})).status == 201
        build = await amber.api.send("builds.create", "eve", IMAGE, app="amber")
        before = len(amber.runtime.applied)
        amber.runtime.away = False
        assert (await amber.ended(build)).state == "succeeded"
        await until(lambda: bool(amber.runtime.removed), "the old one is removed")
        assert [ref.appuuid for ref in amber.runtime.removed] == [old]
        assert old not in {spec.appuuid for spec in amber.runtime.applied[before:]}
        assert {ref.appuuid for ref in await amber.runtime.held()} != {old}

    async def test_what_cannot_begin_is_given_up(self, amber: Controller) -> None:
        app = await row_of(amber)
        # The database holds no such text: checked bodies have none.
        patch = {"lifecycle_post_start": {"web": "\0"}}
        async with amber.deps.db.transaction() as tx:
            operation = await operations.queue(
                tx,
                amber.deps.keyring,
                app=app,
                kind="config",
                given={"patch": patch},
                caller_id=1,
                caller="ada",
                request_id="r1",
            )
        after = await set_config(amber, A="1")
        assert (await amber.ended(after)).state == "succeeded"
        end = await operations.read(amber.deps, OperationRead(operation))
        assert end.state == "failed"
        assert end.answer is not None
        assert (end.answer.status, bytes(end.answer.body)) == (500, b'{"detail":"Server Error"}')
        assert await amber.releases() == [(1, "succeeded"), (2, "succeeded"), (3, "succeeded")]

    async def test_an_operation_ends_once(self, amber: Controller) -> None:
        """Where two replicas both believe to lead for a moment, the first end counts."""
        reply = await set_config(amber, A="1")
        await amber.ended(reply)
        rows = await amber.api.rows("SELECT * FROM operations ORDER BY seq DESC LIMIT 1")
        op = operations.operation_of(amber.deps.keyring, rows[0])
        before = await amber.api.events()
        late = msgspec.structs.replace(op, state="running")
        await outcome.fail(amber.deps, late, outcome.failure(400, "too late"))
        await outcome.succeed(amber.deps, late, 201, {})
        assert await amber.api.events() == before
        assert (await amber.state(reply)).state == "succeeded"
        assert (await amber.releases())[-1] == (3, "succeeded")

    async def test_secrets_are_sealed_and_in_no_event(self, amber: Controller) -> None:
        await amber.ended(await set_config(amber, KEY="s3cret-value"))
        rows = await amber.api.rows(
            """SELECT convert_from(data, 'UTF8') AS text FROM events UNION ALL
               SELECT encode(values_sealed, 'escape') FROM configs UNION ALL
               SELECT encode(input_sealed, 'escape') FROM operations UNION ALL
               SELECT encode(answer_sealed, 'escape') FROM operations"""
        )
        assert "s3cret-value" not in str(rows)

    async def test_of_an_application_that_was_made_while_somebody_looked(
        self, amber: Controller
    ) -> None:
        """A runtime tells of a name before its application has a row: whoever looks then finds
        none, and would take a first operation that comes meanwhile for one of the dead."""
        deps = amber.deps
        kept = await reservations.reserve(deps, "birch")
        assert kept is not None
        async with deps.db.transaction() as tx:
            await tx.execute("LOCK TABLE operations IN ACCESS EXCLUSIVE MODE")
            amber.deps.nudge(kept.uuid)
            await until(lambda: looks(amber), "somebody looks")
            assert (await amber.api.send("apps.create", "ada", {"id": "birch"})).status == 201
            app = await store.app_by_uuid(tx, kept.uuid)
            assert app is not None
            operation = await operations.queue(
                tx,
                deps.keyring,
                app=app,
                kind="config",
                given={"patch": {"values": {"A": "1"}}},
                caller_id=app.owner_id,
                caller=app.owner,
                request_id="first",
            )
        deps.nudge(kept.uuid)

        async def ended() -> bool:
            state = (await operations.read(deps, OperationRead(operation))).state
            return state in ("succeeded", "failed")

        await until(ended, "the end of the operation")
        assert (await operations.read(deps, OperationRead(operation))).state == "succeeded"
        assert await amber.releases("birch") == [(1, "succeeded"), (2, "succeeded")]


async def looks(amber: Controller) -> bool:
    """Whether somebody waits for the operations."""
    rows = await amber.api.rows(
        "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'operations'::regclass"
    )
    return bool(rows)
