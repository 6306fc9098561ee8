"""Deploys on real servers: what the runtime gets, refuses, loses or never finishes."""

import asyncio
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from deis_bus.jetstream import JetStreamBus
from deis_bus.routes import AppRoute, app_key
from deis_bus.streams import ROUTES
from deis_platform.runtime.memory import MemoryRuntime
from deis_services.controller import begin
from deis_services.controller.settings import DeploySettings
from integration.amber_rig import WithAmber, amber_as, kinds, send, set_config, values_of
from integration.controller_rig import IMAGE, OWNER, Controller, controller, settings_of
from integration.databases import fresh_database
from integration.servers import RunningPostgres, until

pytestmark = pytest.mark.server


async def _hosts(made: Controller, app: str, wanted: tuple[str, ...]) -> bool:
    entry = await made.deps.bus.keys(ROUTES).get(app_key(app))
    if entry is None or entry.data is None:
        return False
    return msgspec.json.decode(entry.data, type=AppRoute).hosts == wanted


class TestDeploys(WithAmber):
    async def test_what_an_app_does_not_say_the_operator_does(
        self, bus: JetStreamBus, postgres: RunningPostgres, tmp_path: Path
    ) -> None:
        defaults = DeploySettings(
            seconds=20, batch=2, grace_seconds=4, revisions=3, tags=(("disk", "ssd"),)
        )
        async with amber_as(bus, postgres, tmp_path, deploy=defaults) as made:
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

    async def test_the_page_of_a_first_deploy_is_asked_for_before_it_is_done(
        self, bus: JetStreamBus, postgres: RunningPostgres, tmp_path: Path
    ) -> None:
        asked = asyncio.Event()
        known = asyncio.Event()
        hosts: list[str] = []

        async def answer(request: web.BaseRequest) -> web.Response:
            hosts.append(request.host)
            asked.set()
            return web.Response(status=200 if known.is_set() else 404)

        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        settings = settings_of(await fresh_database(postgres, OWNER), tmp_path)
        settings = replace(settings, router_url=site.name)
        async with controller(settings, bus, MemoryRuntime(bus)) as made:
            await made.api.user("ada")
            await made.api.send("apps.create", "ada", {"id": "amber"})
            first = await send(made, "builds.create", IMAGE)
            await asked.wait()
            assert (await made.state(first)).state == "running"
            known.set()
            assert (await made.ended(first)).state == "succeeded"
            count = len(hosts)
            second = await send(made, "builds.create", IMAGE)
            assert (await made.ended(second)).state == "succeeded"
        await runner.cleanup()
        assert set(hosts) == {"amber.localhost"}
        assert len(hosts) == count  # later ones are not waited for

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

    async def test_hosts_are_the_applications_domains(self, amber: Controller) -> None:
        """Its name is its first one; an application whose name is another's domain has none."""
        body = {"domain": "birch"}
        assert (await amber.api.send("domains.add", "ada", body, app="amber")).status == 201
        await amber.api.send("apps.create", "eve", {"id": "birch"})
        await until(lambda: _hosts(amber, "amber", ("amber", "birch")), "the domain")
        await until(lambda: _hosts(amber, "birch", ()), "the other application")
        await amber.api.send("domains.remove", "ada", app="amber", domain="amber")
        await until(lambda: _hosts(amber, "amber", ("birch",)), "the name is given up")
