"""Builds, configuration, releases, operations: what is queued and what came of it (api.md 7 to 11)."""

from typing import Any

import msgspec
import pytest

from deis_bus.contracts.push import (
    APPS_ALIVE,
    KEY_LOOKUP,
    REPO_OPEN,
    AppsAlive,
    KeyLookup,
    RepoOpen,
)
from deis_bus.errors import Refused
from deis_services.controller import operations
from deis_services.controller.sealed import unseal
from integration.controller_api.rig import MISSING, Api, deploy

pytestmark = pytest.mark.server


async def queued(api: Api) -> tuple[str, dict[str, Any]]:
    """Kind and input of the newest operation."""
    row = (await api.rows("SELECT kind, input_sealed FROM operations ORDER BY seq DESC LIMIT 1"))[0]
    return row["kind"], unseal(api.deps.keyring, row["input_sealed"], dict[str, Any])


async def test_builds(amber: Api) -> None:
    release = await amber.deployed("amber")
    first = (await amber.rows("SELECT uuid::text AS uuid FROM builds"))[0]["uuid"]
    async with amber.deps.db.transaction() as tx:
        await deploy(tx, amber.deps, "amber", {}, state="failed")
    listed = (await amber.send("builds.list", "bob", app="amber")).body
    assert listed["count"] == 2
    build = (await amber.send("builds.read", "bob", app="amber", build=first)).body
    assert list(build) == [
        "owner", "app", "image", "sha", "procfile", "dockerfile", "created", "updated", "uuid",
    ]  # fmt: skip
    assert build["uuid"] == release.build == listed["results"][1]["uuid"]
    assert build["procfile"] == {"web": "run", "worker": "work"}
    await amber.send("apps.create", "ada", {"id": "elm"})
    for app, asked in (
        ("elm", first),
        ("amber", "x"),
        ("amber", "0" * 32),
        ("amber", "0_0" + "0" * 29),
    ):
        reply = await amber.send("builds.read", "ada", app=app, build=asked)
        assert (reply.status, reply.body) == (404, MISSING.format("Build"))


async def test_which_output_may_be_read(amber: Api) -> None:
    assert (await amber.send("builds.output", "ada", app="amber", build="newest")).status == 404
    app = (await amber.send("apps.read", "ada", app="amber")).body["uuid"]
    for number, state in ((1, "failed"), (2, "building")):
        async with amber.deps.db.transaction() as tx:
            push = await tx.fetchval(
                """INSERT INTO pushes (uuid, app, number, user_id, username, state)
                   VALUES (gen_random_uuid(), $1::uuid, $2, 1, 'ada', $3) RETURNING uuid::text""",
                app,
                number,
                state,
            )
        wanted = {"build": push, "appuuid": app, "app": "amber", "state": state}
        for asked in ("newest", push):
            reply = await amber.send("builds.output", "bob", app="amber", build=asked)
            assert reply.body == wanted


async def test_writes_that_wait_their_turn(amber: Api) -> None:
    image = {"image": " registry/x ", "procfile": {"web": "run"}, "extra": 1}
    for name, body, path, kind, given in (
        (
            "builds.create",
            image,
            {},
            "build",
            {"image": "registry/x", "sha": "", "procfile": {"web": "run"}, "dockerfile": ""},
        ),
        (
            "config.set",
            {"values": {"A": 1, "B": None}},
            {},
            "config",
            {"patch": {"values": {"A": "1", "B": None}}},
        ),
        ("releases.rollback", {"version": "3"}, {}, "rollback", {"version": 3}),
        ("releases.rollback", None, {}, "rollback", {"version": None}),
        ("apps.scale", {"web": "2"}, {}, "scale", {"counts": {"web": "2"}}),
        ("pods.restart", None, {}, "restart", {"type": "", "instance": ""}),
        ("pods.restart.type", {}, {"type": "web"}, "restart", {"type": "web", "instance": ""}),
        (
            "pods.restart.pod",
            {},
            {"typed": "web", "pod": "web-123-abc"},
            "restart",
            {"type": "web", "instance": "amber-web-123-abc"},
        ),
    ):
        reply = await amber.send(name, "bob", body, app="amber", at=path)
        assert reply.status == 202
        assert (reply.answer.app, reply.body) == ("amber", None)
        assert await queued(amber) == (kind, given)
        assert (await amber.events())[-1] == ("operation.queued", "amber", True, "bob")
    reply = await amber.send("apps.destroy", "ada", app="amber")
    assert (reply.status, await queued(amber)) == (202, ("destroy", {}))


@pytest.mark.parametrize(
    ("name", "body", "wanted"),
    [
        ("builds.create", {}, {"image": ["This field is required."]}),
        (
            "builds.create",
            {"image": "x", "procfile": "x"},
            {"procfile": ["Value must be valid JSON."]},
        ),
        (
            "config.set",
            {"values": {"1": "x"}, "memory": {"web": "10"}},
            {
                "values": [
                    "Config keys must start with a letter or underscore and only contain [A-z0-9_]"
                ],
                "memory": [
                    "Memory limit format: <number><unit> or <number><unit>/<number><unit>, "
                    "where unit = B, K, M or G"
                ],
            },
        ),
        (
            "releases.rollback",
            {"version": "x"},
            {"detail": "invalid literal for int() with base 10: 'x'"},
        ),
        ("releases.rollback", {"version": -1}, {"detail": "version cannot be below 0"}),
        (
            "releases.rollback",
            {"version": 10**12},
            {"detail": "Release matching query does not exist."},
        ),
    ],
)
async def test_wrong_input_is_refused_before_it_is_queued(
    amber: Api, name: str, body: object, wanted: object
) -> None:
    reply = await amber.send(name, "ada", body, app="amber")
    assert (reply.status, reply.body) == (400, wanted)
    assert await amber.rows("SELECT 1 FROM operations") == []


async def test_config_is_the_newest_successful_releases(amber: Api) -> None:
    await amber.deployed("amber", GREETING="Salut")
    async with amber.deps.db.transaction() as tx:
        await deploy(tx, amber.deps, "amber", {"GREETING": "never"}, state="failed")
    config = (await amber.send("config.read", "bob", app="amber")).body
    assert list(config) == [
        "uuid", "app", "owner", "values", "memory", "cpu", "tags", "registry", "healthcheck",
        "lifecycle_post_start", "lifecycle_pre_stop", "termination_grace_period", "created", "updated",
    ]  # fmt: skip
    assert (config["values"], config["app"], config["owner"]) == (
        {"GREETING": "Salut"},
        "amber",
        "ada",
    )


async def test_releases(amber: Api) -> None:
    await amber.deployed("amber")
    async with amber.deps.db.transaction() as tx:
        await deploy(tx, amber.deps, "amber", {}, state="failed")
        await tx.execute(
            """UPDATE releases SET stages = '{"build": 1.25, "deploy": 0.5}' WHERE version = 2"""
        )
    listed = (await amber.send("releases.list", "bob", app="amber", query={"limit": "2"})).body
    assert [(r["version"], r["failed"], r["state"]) for r in listed["results"]] == [
        (3, True, "failed"),
        (2, False, "succeeded"),
    ]
    assert listed["next"].endswith("?limit=2&offset=2")
    one = (await amber.send("releases.read", "bob", app="amber", version="v2")).body
    assert list(one)[:11] == [
        "uuid", "app", "owner", "created", "updated", "version", "summary", "failed", "exception",
        "config", "build",
    ]  # fmt: skip
    stages = (await amber.send("releases.stages", "bob", app="amber", version="v2")).body
    assert stages == {"version": 2, "stages": {"build": 1.25, "deploy": 0.5}, "total": 1.75}
    for version in ("v9", "v0", "v99999999999999999999"):
        reply = await amber.send("releases.read", "bob", app="amber", version=version)
        assert (reply.status, reply.body) == (404, MISSING.format("Release"))


async def test_hooks(amber: Api) -> None:
    bob = (await amber.rows("SELECT id FROM users WHERE username = 'bob'"))[0]["id"]
    user = msgspec.structs.replace(await amber.user("zoe"), id=bob)
    fingerprint = await amber.key(user, "bob-key")
    await amber.deployed("amber", BUILDPACK_URL="https://example.com/x")
    found = await amber.send("hooks.key", builder=True, fingerprint=fingerprint)
    assert found.body == {"username": "bob", "apps": ["amber"]}
    assert (await amber.send("hooks.key", builder=True, fingerprint="x")).status == 404
    shared = await amber.send("hooks.keys", builder=True, app="amber")
    assert list(shared.body) == ["bob"]
    own = await amber.send("hooks.keys.user", builder=True, app="amber", username="bob")
    assert own.body["bob"][0]["fingerprint"] == fingerprint
    for username, status in (("eve", 403), ("nobody", 403), ("ada", 404)):
        reply = await amber.send("hooks.keys.user", builder=True, app="amber", username=username)
        assert reply.status == status
    keyless = await amber.send("hooks.keys.user", builder=True, app="amber", username="ada")
    assert keyless.body == {"detail": "No Keys match the given query."}
    given = {"receive_user": "bob", "receive_repo": "amber"}
    config = await amber.send("hooks.config", builder=True, body=given)
    assert config.body["values"] == {"BUILDPACK_URL": "https://example.com/x"}
    missing = await amber.send("hooks.config", builder=True, body={})
    assert list(missing.body) == ["receive_user", "receive_repo"]
    build = await amber.send(
        "hooks.build", builder=True, body=given | {"image": "x", "sha": "12345678"}
    )
    assert build.status == 202
    kind, asked = await queued(amber)
    assert (kind, asked["hook"], asked["sha"]) == ("build", True, "12345678")


async def test_what_the_builder_asks(amber: Api) -> None:
    ada = (await amber.rows("SELECT id FROM users WHERE username = 'ada'"))[0]["id"]
    user = msgspec.structs.replace(await amber.user("zoe"), id=ada)
    fingerprint = await amber.key(user, "key")
    strange = await amber.key(await amber.user("yan"), "strange")
    assert (await amber.ask(KEY_LOOKUP, KeyLookup(fingerprint))).username == "ada"
    opened = await amber.ask(REPO_OPEN, RepoOpen(fingerprint, "amber", write=True))
    assert (opened.username, opened.app) == ("ada", "amber")
    for question, code in (
        (RepoOpen("x", "amber", write=False), 401),
        (RepoOpen(fingerprint, "nowhere", write=False), 404),
        (RepoOpen(strange, "amber", write=False), 403),
    ):
        with pytest.raises(Refused) as caught:
            await amber.ask(REPO_OPEN, question)
        assert caught.value.code == code
    with pytest.raises(Refused):
        await amber.ask(KEY_LOOKUP, KeyLookup("x"))
    alive = await amber.ask(APPS_ALIVE, AppsAlive((opened.appuuid, "0" * 32, "x")))
    assert alive.appuuids == (opened.appuuid,)


async def test_operations_are_read_by_their_caller_and_the_apps_users(amber: Api) -> None:
    reply = await amber.send("config.set", "bob", {"values": {"A": "1"}}, app="amber")
    operation = reply.answer.operation
    sealed = operations.keep(amber.deps.keyring, {"values": {"A": "secret"}})
    async with amber.deps.db.transaction() as tx:
        await tx.execute(
            """UPDATE operations SET state = 'succeeded', status = 201, answer_sealed = $1""",
            sealed,
        )
    for who in ("bob", "ada", "root"):
        shown = (await amber.send("operations.read", who, operation=operation)).body
        assert (shown["kind"], shown["owner"], shown["state"]) == ("config", "bob", "succeeded")
        assert (shown["status"], shown["answer"]) == (201, {"values": {"A": "secret"}})
    assert (await amber.send("operations.read", "eve", operation=operation)).status == 403
    assert (await amber.send("operations.read", "eve", operation="-" * 36)).status == 404
    await amber.send("perms.remove", "ada", app="amber", username="bob")
    revoked = (await amber.send("operations.read", "bob", operation=operation)).body
    assert (revoked["state"], revoked["answer"]) == ("succeeded", None)
