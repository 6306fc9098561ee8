"""Operations on real servers, the runtime in memory: order, turns, failures, what stays behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deis_bus import subjects
from deis_bus.contracts.http import OperationRead
from deis_bus.jetstream import JetStreamBus
from deis_bus.routes import AppRoute, app_key
from deis_bus.streams import ROUTES
from deis_platform.runtime.memory import MemoryRuntime
from deis_services.controller import begin, operations, outcome, store
from deis_services.controller.model import App
from deis_services.controller.settings import DeploySettings
from integration.bus_rig import OnNats
from integration.controller_api.rig import Reply
from integration.controller_rig import OWNER, Controller, controller, settings_of
from integration.databases import fresh_database
from integration.servers import RunningPostgres, until

pytestmark = pytest.mark.server

IMAGE = {"image": "registry/example"}


@asynccontextmanager
async def deployed(
    bus: JetStreamBus, postgres: RunningPostgres, folder: Path, **changes: Any
) -> AsyncIterator[Controller]:
    """Ada's application `amber`, deployed as v2."""
    settings = settings_of(await fresh_database(postgres, OWNER), folder, **changes)
    async with controller(settings, bus, MemoryRuntime(bus)) as made:
        for name in ("ada", "eve"):
            await made.api.user(name)
        await made.api.send("apps.create", "ada", {"id": "amber"})
        done = await made.ended(await send(made, "builds.create", IMAGE))
        assert done.state == "succeeded", done
        yield made


@pytest.fixture
async def amber(
    bus: JetStreamBus, postgres: RunningPostgres, tmp_path: Path
) -> AsyncIterator[Controller]:
    """The application with the default limits."""
    async with deployed(bus, postgres, tmp_path) as made:
        yield made


@pytest.fixture
async def hasty(
    bus: JetStreamBus, postgres: RunningPostgres, tmp_path: Path
) -> AsyncIterator[Controller]:
    """The same where nobody waits long for a turn."""
    async with deployed(bus, postgres, tmp_path, turn_seconds=0.5) as made:
        yield made


async def send(made: Controller, name: str, body: object = None, **path: str) -> Reply:
    """A request of the owner about the application."""
    return await made.api.send(name, "ada", body, app="amber", at=path)


async def set_config(made: Controller, **values: str | None) -> Reply:
    """`config:set`."""
    return await send(made, "config.set", {"values": values})


async def values_of(made: Controller) -> dict[str, str]:
    """The present configuration."""
    found: dict[str, str] = (await send(made, "config.read")).body["values"]
    return found


async def row_of(made: Controller) -> App:
    """The application's row."""
    async with made.deps.db.reading() as tx:
        found = await store.app_by_id(tx, "amber")
    assert found is not None
    return found


async def _hosts(made: Controller, app: str, wanted: tuple[str, ...]) -> bool:
    entry = await made.deps.bus.keys(ROUTES).get(app_key(app))
    if entry is None or entry.data is None:
        return False
    return msgspec.json.decode(entry.data, type=AppRoute).hosts == wanted


async def kinds(made: Controller) -> list[str]:
    """Types of the events so far."""
    return [event[0] for event in await made.api.events()]


class TestOperations(OnNats):
    async def test_what_an_app_does_not_say_the_operator_does(
        self, bus: JetStreamBus, postgres: RunningPostgres, tmp_path: Path
    ) -> None:
        defaults = DeploySettings(
            seconds=20, batch=2, grace_seconds=4, revisions=3, tags=(("disk", "ssd"),)
        )
        async with deployed(bus, postgres, tmp_path, deploy=defaults) as made:
            (spec,) = made.runtime.applied
            (cmd,) = spec.processes
            assert (spec.deploy_timeout_seconds, spec.batch, spec.revisions) == (20.0, 2, 3)
            assert (cmd.grace_seconds, cmd.tags) == (4.0, {"disk": "ssd"})
            assert (await send(made, "config.read")).body["tags"] == {"disk": "ssd"}
            check = {"web/cmd": {"readinessProbe": {"initialDelaySeconds": 7}}}
            own = {"values": {"DEIS_DEPLOY_BATCHES": "3"}, "tags": {"disk": None, "zone": "a"}}
            await made.ended(await send(made, "config.set", own | {"healthcheck": check}))
            spec = made.runtime.applied[-1]
            assert (spec.deploy_timeout_seconds, spec.batch) == (27.0, 3)
            assert spec.processes[0].tags == {"zone": "a"}
            await made.ended(await send(made, "config.set", {"tags": {"zone": None}}))
            assert made.runtime.applied[-1].processes[0].tags == {"disk": "ssd"}
            done = await send(made, "apps.scale", {"cmd": 10})
            await made.ended(done)
            (row,) = await made.api.rows(
                "SELECT deadline - started AS given FROM operations WHERE id = $1::uuid",
                done.answer.operation,
            )
            assert row["given"].total_seconds() == 4 * 27.0 + begin.MARGIN_SECONDS

    async def test_a_build_becomes_a_release_that_runs(self, amber: Controller) -> None:
        assert await amber.releases() == [(1, "succeeded"), (2, "succeeded")]
        assert [spec.release for spec in amber.runtime.applied] == [2]
        assert amber.runtime.applied[0].environment["WORKFLOW_RELEASE"] == "v2"
        assert (await kinds(amber))[-4:] == [
            "operation.queued", "release.created", "operation.done", "deploy.done",
        ]  # fmt: skip
        route = await amber.deps.bus.keys(ROUTES).get(app_key("amber"))
        assert route is not None
        assert b'"routable":true' in (route.data or b"")

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

    async def test_a_release_that_never_becomes_ready(self, amber: Controller) -> None:
        amber.runtime.script("crash", release=3, reason="exited with 1")
        end = await amber.ended(await set_config(amber, A="1"))
        assert end.answer is not None
        assert end.answer.status == 400
        text = bytes(end.answer.body).decode()
        assert "Rolling back process types to release v2" in text
        assert "exited with 1" in text
        assert await amber.releases() == [(1, "succeeded"), (2, "succeeded"), (3, "failed")]
        await until(lambda: amber.runtime.applied[-1].release == 2, "the old release wanted again")
        assert await values_of(amber) == {}
        failed = await send(amber, "releases.read", version="v3")
        assert failed.body["failed"] is True
        assert failed.body["summary"] == "ada deployed a config that failed"
        assert (await kinds(amber))[-1] == "deploy.failed"
        back = await amber.ended(await send(amber, "releases.rollback", {"version": 3}))
        assert back.answer is not None
        assert back.answer.status == 400
        assert b"Cannot roll back to failed release." in bytes(back.answer.body)
        assert (await amber.ended(await set_config(amber, A="2"))).state == "succeeded"
        assert (await amber.releases())[-1] == (4, "succeeded")

    async def test_what_a_runtime_refuses_is_told(self, amber: Controller) -> None:
        amber.runtime.script("refuse", release=3, reason="it takes no such thing")
        end = await amber.ended(await send(amber, "builds.create", {"image": "registry/none"}))
        assert end.answer is not None
        assert end.answer.status == 400
        text = bytes(end.answer.body).decode()
        assert "Rolling back process types to release v2.\\nit takes no such thing" in text
        assert await amber.releases() == [(1, "succeeded"), (2, "succeeded"), (3, "failed")]

    async def test_an_image_that_cannot_be_had_is_told_in_the_registrys_words(
        self, amber: Controller
    ) -> None:
        reason = "manifest for registry/none not found: manifest unknown"
        amber.runtime.script("refuse", release=3, reason=reason, kind="image")
        end = await amber.ended(await send(amber, "builds.create", {"image": "registry/none"}))
        assert end.answer is not None
        assert end.answer.status == 400
        assert msgspec.json.decode(end.answer.body) == {"detail": reason}
        assert await amber.releases() == [(1, "succeeded"), (2, "succeeded"), (3, "failed")]
        failed = await send(amber, "releases.read", version="v3")
        assert failed.body["exception"] == f"error: {reason}"
        assert (await amber.ended(await set_config(amber, A="1"))).state == "succeeded"

    async def test_a_rollback_supersedes_a_running_deploy(self, amber: Controller) -> None:
        assert (await amber.ended(await set_config(amber, A="1"))).state == "succeeded"
        amber.runtime.script("hold", release=4)
        held = await set_config(amber, A="2")
        await amber.deploys(4)
        wrong = await amber.ended(await send(amber, "releases.rollback", {"version": 9}))
        assert wrong.state == "failed"
        assert (await amber.state(held)).state == "running", "a wrong rollback changes nothing"
        back = await amber.ended(await send(amber, "releases.rollback", {"version": 2}))
        assert back.answer is not None
        assert (back.answer.status, bytes(back.answer.body)) == (201, b'{"version":5}')
        end = await amber.ended(held)
        assert end.answer is not None
        assert (end.state, end.answer.status) == ("failed", 409)
        assert (await amber.releases())[2:] == [
            (3, "succeeded"),
            (4, "superseded"),
            (5, "succeeded"),
        ]
        assert await values_of(amber) == {}
        assert amber.runtime.applied[-1].release == 5

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

    async def test_a_runtime_that_lost_everything_gets_it_again(self, amber: Controller) -> None:
        amber.runtime.lose()

        async def back() -> bool:
            return len(await amber.runtime.held()) == 1

        await until(back, "the app runs again")
        assert amber.runtime.applied[-1].release == 2

    async def test_a_runtime_that_comes_back_late_has_its_time(self, amber: Controller) -> None:
        amber.runtime.script("hold", release=3)
        reply = await set_config(amber, A="1")
        await amber.deploys(3)
        amber.runtime.away = True
        async with amber.deps.db.transaction() as tx:
            await tx.execute(
                """UPDATE operations SET started = now() - interval '1 hour',
                          deadline = now() - interval '30 minutes' WHERE state = 'running'"""
            )
        amber.runtime.lose()
        amber.runtime.away = False
        await until(lambda: len(amber.runtime.applied) == 3, "the new one is told")
        amber.runtime.make_ready("amber")
        assert (await amber.ended(reply)).state == "succeeded"

    async def test_a_deploy_that_takes_too_long_fails(self, amber: Controller) -> None:
        amber.runtime.script("hold", release=3)
        reply = await set_config(amber, A="1")
        await amber.deploys(3)
        async with amber.deps.db.transaction() as tx:
            await tx.execute("UPDATE operations SET deadline = now() WHERE state = 'running'")
        end = await amber.ended(reply)
        assert end.answer is not None
        assert b"the deploy timed out" in bytes(end.answer.body)

    async def test_a_deploy_waits_for_a_runtime_that_is_away(self, amber: Controller) -> None:
        amber.runtime.away = True
        reply = await set_config(amber, A="1")
        await amber.running(reply)
        amber.runtime.away = False
        assert (await amber.ended(reply)).state == "succeeded"

    async def test_without_a_build_there_is_nothing_to_deploy(self, amber: Controller) -> None:
        await amber.api.send("apps.create", "ada", {"id": "birch"})
        body = {"values": {"A": "1"}}
        reply = await amber.api.send("config.set", "ada", body, app="birch")
        assert (await amber.ended(reply)).state == "succeeded"
        assert await amber.releases("birch") == [(1, "succeeded"), (2, "succeeded")]
        assert {spec.app for spec in amber.runtime.applied} == {"amber"}

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

    async def test_hosts_are_the_applications_domains(self, amber: Controller) -> None:
        """Its name is its first one; an application whose name is another's domain has none."""
        body = {"domain": "birch"}
        assert (await amber.api.send("domains.add", "ada", body, app="amber")).status == 201
        await amber.api.send("apps.create", "eve", {"id": "birch"})
        await until(lambda: _hosts(amber, "amber", ("amber", "birch")), "the domain")
        await until(lambda: _hosts(amber, "birch", ()), "the other application")
        await amber.api.send("domains.remove", "ada", app="amber", domain="amber")
        await until(lambda: _hosts(amber, "amber", ("birch",)), "the name is given up")

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
