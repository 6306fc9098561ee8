"""A controller on the node: names that are asked for, and what comes back by itself."""

import asyncio
import dataclasses
import secrets
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from deis_bus.errors import Refused
from deis_bus.jetstream import connect
from deis_bus.streams import BUCKETS, STREAMS
from deis_platform.runner import run_parts
from deis_platform.runtime.kubernetes import names
from deis_services.controller.leader import Leader, Nudges
from deis_services.controller.term import LeaderTerm
from integration.cluster.node import Node
from integration.controller_api.rig import Api
from integration.controller_rig import OWNER, dependencies, settings_of
from integration.databases import fresh_database
from integration.kubernetes.faults_rig import Answers, broken, webhook_that
from integration.kubernetes.runtime_rig import facts_of, running
from integration.servers import RunningNats, RunningPostgres, until

pytestmark = [pytest.mark.kubernetes, pytest.mark.server, pytest.mark.timeout(120)]

SECONDS = 60.0
BUILD = {"image": "slugs/none", "sha": "0" * 40, "procfile": {"worker": "sleep 1"}}
"""A release whose one type starts without instances, so its slug is never fetched."""


class Rig:
    """A controller that reconciles, and a name on its cluster."""

    def __init__(self, node: Node, api: Api) -> None:
        self.node = node
        self.api = api
        self.app = f"t-runtime-{secrets.token_hex(3)}"

    async def creates(self) -> tuple[int, Any]:
        """Status and body of the creation of that name; 503 where it is to be tried again."""
        try:
            reply = await self.api.send("apps.create", "ada", {"id": self.app})
        except Refused as fault:
            return fault.code, fault.detail
        return reply.status, reply.body

    async def does(self, name: str, body: object = None) -> None:
        """An operation of the application, to its good end."""
        asked = (await self.api.send(name, "ada", body, app=self.app)).answer.operation

        async def succeeded() -> bool:
            (row,) = await self.api.rows("SELECT state FROM operations WHERE id = $1::uuid", asked)
            assert row["state"] != "failed"
            return bool(row["state"] == "succeeded")

        await until(succeeded, name, SECONDS)

    def kube(self, *words: str) -> str:
        """`kubectl` in the application's namespace."""
        return self.node.kube("-n", self.app, *words)

    def spec(self, name: str) -> dict[str, Any] | None:
        """What an object says, but for a Service's address; None where it is not there."""
        if not self.node.tries("-n", self.app, "get", name):
            return None
        spec = self.node.get("-n", self.app, name).get("spec", {})
        return {field: value for field, value in spec.items() if not field.startswith("clusterIP")}

    def writes_a_secret(self) -> bool:
        """Whether the API server would take one in."""
        probe = ("create", "secret", "generic", "probe", "--dry-run=server")
        return self.node.tries("-n", self.app, *probe)

    def says(self, name: str, spec: dict[str, Any] | None) -> bool:
        """Whether it says that."""
        return self.spec(name) == spec


@pytest.fixture
async def rig(
    node: Node, nats: RunningNats, postgres: RunningPostgres, stack_image: str, tmp_path: Path
) -> AsyncIterator[Rig]:
    database = await fresh_database(postgres, OWNER)
    async with (
        connect(nats.url, "controller") as bus,
        running(node, bus, facts_of(stack_image)) as cluster,
    ):
        await bus.ensure(STREAMS, BUCKETS)
        nudges, settings = Nudges(), settings_of(database, tmp_path)
        async with dependencies(settings, bus, cluster.runtime, nudges) as plain:
            deps = dataclasses.replace(plain, routed=cluster.runtime)
            leader = Leader(deps.db, nudges, lambda: LeaderTerm(deps))
            reconciling = asyncio.create_task(run_parts((leader, deps.shipper), asyncio.Event()))
            rig = Rig(node, Api(deps))
            await rig.api.user("ada")
            try:
                yield rig
            finally:
                reconciling.cancel()
                await asyncio.wait({reconciling})
                node.kube("delete", "namespace", rig.app, "--wait=false", "--ignore-not-found")


async def test_what_is_changed_by_hand_comes_back_by_itself(rig: Rig) -> None:
    assert (await rig.creates())[0] == 201
    await rig.does("builds.create", BUILD)
    await rig.does("apps.scale", {"worker": 0})
    guards = {
        f"networkpolicy/{names.POLICY}": '{"spec":{"egress":[{}]}}',
        f"deployment/{rig.app}-worker": '{"spec":{"progressDeadlineSeconds":7}}',
        f"service/{rig.app}": '{"spec":{"selector":{"type":"x"}}}',
    }
    for name, edit in guards.items():
        before = rig.spec(name)
        for drift in (("patch", name, "--type=merge", "-p", edit), ("delete", name)):
            rig.kube(*drift)
            await until(partial(rig.says, name, before), f"{drift}", SECONDS)
    rig.kube("delete", "secret", f"{rig.app}-v2-env")
    await until(lambda: rig.spec(f"secret/{rig.app}-v2-env") is not None, "the Secret", SECONDS)


async def test_a_foreign_name_is_told_and_a_dying_one_waited_for(rig: Rig) -> None:
    rig.node.kube("create", "namespace", rig.app)
    before = rig.node.get("namespace", rig.app)
    status, body = await rig.creates()
    assert (status, rig.app in body["detail"]) == (409, True)
    assert rig.node.get("namespace", rig.app) == before
    await asyncio.to_thread(rig.node.kube, "delete", "namespace", rig.app)
    assert (await rig.creates())[0] == 201
    first = rig.node.get("namespace", rig.app)["metadata"]
    await rig.does("apps.destroy")

    async def created() -> bool:
        return (await rig.creates())[0] == 201

    await until(created, "the creation", SECONDS)
    again = rig.node.get("namespace", rig.app)["metadata"]
    assert again["uid"] != first["uid"]
    assert again["annotations"][names.UUID] != first["annotations"][names.UUID]


async def test_a_release_waits_while_the_api_server_answers_500(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again, not given up, and is there once in the end."""
    answers = Answers(monkeypatch)
    assert (await rig.creates())[0] == 201
    async with webhook_that(rig.node, "absent") as webhook:
        with broken(rig.node, rig.app, webhook.port, "secrets") as end:
            await until(lambda: not rig.writes_a_secret(), "500", SECONDS)
            doing = asyncio.create_task(rig.does("builds.create", BUILD))
            await answers.more(500, 3)
            assert not doing.done()
            await end()
            await doing
    variables = ("get", "secrets", "-l", "type=env", "-o", "name")
    assert rig.kube(*variables).split() == [f"secret/{rig.app}-v2-env"]
    releases = await rig.api.rows("SELECT version FROM releases ORDER BY version")
    assert [row["version"] for row in releases] == [1, 2]
