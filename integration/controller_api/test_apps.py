"""Applications, builds, configuration, releases, domains and sharing (api.md 6 to 13, 19, 21)."""

import re
from typing import Any

import msgspec
import pytest

from deis_bus.contracts.access import VISIBLE, Visible, VisibleAnswer
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
from integration.controller_api.rig import Api, deploy

pytestmark = pytest.mark.server

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
MISSING = "No {} matches the given query."


@pytest.fixture
async def amber(api: Api) -> Api:
    """Ada's application `amber`, shared with bob; eve has nothing to do with it; root is admin."""
    for name in ("root", "ada", "bob", "eve"):
        await api.user(name, admin=name == "root")
    assert (await api.send("apps.create", "ada", {"id": "amber"})).status == 201
    assert (await api.send("perms.add", "ada", {"username": "bob"}, app="amber")).status == 201
    return api


async def queued(api: Api) -> tuple[str, dict[str, Any]]:
    """Kind and input of the newest operation."""
    row = (await api.rows("SELECT kind, input_sealed FROM operations ORDER BY seq DESC LIMIT 1"))[0]
    return row["kind"], unseal(api.deps.keyring, row["input_sealed"], dict[str, Any])


async def test_a_new_app(api: Api) -> None:
    await api.user("ada")
    reply = await api.send("apps.create", "ada", {"id": "amber", "structure": {"web": -1}})
    assert reply.status == 201
    assert list(reply.body) == [
        "uuid", "id", "owner", "structure", "procfile_structure", "created", "updated",
    ]  # fmt: skip
    assert (reply.body["id"], reply.body["owner"], reply.body["structure"]) == ("amber", "ada", {})
    assert TIME.fullmatch(reply.body["created"])
    releases = (await api.send("releases.list", "ada", app="amber")).body["results"]
    assert [(r["version"], r["summary"], r["failed"]) for r in releases] == [
        (1, "ada created initial release", False)
    ]
    domains = (await api.send("domains.list", "ada", app="amber")).body["results"]
    assert [domain["domain"] for domain in domains] == ["amber"]
    assert await api.events() == [
        ("app.created", "amber", True, "ada"),
        ("release.created", "amber", True, "ada"),
    ]


async def test_a_name_is_made_up(api: Api) -> None:
    await api.user("ada")
    for body in (None, {}, {"id": None}):
        reply = await api.send("apps.create", "ada", body)
        assert reply.status == 201
        assert re.fullmatch(r"[a-z]+-[a-z0-9]+", reply.body["id"])


async def test_names_that_are_refused(amber: Api) -> None:
    for name, text in (
        ("amber", "Application with this id already exists."),
        ("", "This field may not be blank."),
        ("deis", "deis is a reserved name."),
        ("Amber", "App name can only contain a-z (lowercase), 0-9 and hyphens"),
    ):
        reply = await amber.send("apps.create", "eve", {"id": name})
        assert reply.status == 400
        assert text in reply.body["id"]


async def test_who_sees_which_apps(amber: Api) -> None:
    await amber.send("apps.create", "eve", {"id": "elm"})
    for who, seen in (
        ("ada", ["amber"]),
        ("bob", ["amber"]),
        ("eve", ["elm"]),
        ("root", ["amber", "elm"]),
    ):
        listed = (await amber.send("apps.list", who)).body["results"]
        assert [app["id"] for app in listed] == seen
        token = amber.deps.keyring.token_hash(amber.tokens[who])
        told: VisibleAnswer = await amber.ask(VISIBLE, Visible(token))
        assert ([app.app for app in told.apps], told.admin) == (seen, who == "root")
    with pytest.raises(Refused):
        await amber.ask(VISIBLE, Visible("x"))


async def test_handing_an_app_over(amber: Api) -> None:
    await amber.send("domains.add", "bob", {"domain": "bob.example.com"}, app="amber")
    assert (await amber.send("apps.update", "bob", {"owner": "bob"}, app="amber")).status == 403
    assert (await amber.send("apps.update", "ada", {"owner": "x"}, app="amber")).status == 404
    same = await amber.send("apps.update", "ada", {"id": "other"}, app="amber")
    assert (same.status, same.body) == (200, None)
    moved = await amber.send("apps.update", "ada", {"owner": "eve"}, app="amber")
    assert (moved.status, moved.body) == (200, None)
    assert (await amber.send("apps.read", "eve", app="amber")).body["owner"] == "eve"
    assert (await amber.send("apps.read", "ada", app="amber")).status == 403
    owners = await amber.rows("SELECT u.username FROM releases r JOIN users u ON u.id = r.owner_id")
    assert owners == [{"username": "eve"}]
    domains = (await amber.send("domains.list", "eve", app="amber")).body["results"]
    assert [(d["domain"], d["owner"]) for d in domains] == [
        ("amber", "eve"),
        ("bob.example.com", "bob"),
    ]
    assert (await amber.events())[-1] == ("app.updated", "amber", True, "ada")


async def test_sharing(amber: Api) -> None:
    assert (await amber.send("perms.list", "bob", app="amber")).body == {"users": ["bob"]}
    again = await amber.send("perms.add", "ada", {"username": "bob"}, app="amber")
    assert (again.status, again.body) == (201, None)
    assert (await amber.send("perms.add", "ada", {}, app="amber")).body == {
        "username": ["This field is required."]
    }
    unknown = await amber.send("perms.add", "ada", {"username": "x"}, app="amber")
    assert (unknown.status, unknown.body) == (404, MISSING.format("User"))
    assert (await amber.send("perms.add", "bob", {"username": "eve"}, app="amber")).status == 403
    await amber.send("perms.add", "ada", {"username": "eve"}, app="amber")
    assert (await amber.send("perms.remove", "bob", app="amber", username="eve")).status == 403
    assert (await amber.send("perms.remove", "bob", app="amber", username="bob")).status == 204
    assert (await amber.send("perms.remove", "ada", app="amber", username="bob")).status == 403
    assert (await amber.send("perms.remove", "ada", app="amber", username="x")).status == 404
    assert (await amber.send("apps.read", "bob", app="amber")).status == 403
    types = [event[0] for event in await amber.events()]
    assert types[2:] == ["share.granted", "share.granted", "share.revoked"]


async def test_domains(amber: Api) -> None:
    made = await amber.send("domains.add", "bob", {"domain": " WWW.Example.COM. "}, app="amber")
    assert made.status == 201
    assert list(made.body) == ["owner", "created", "updated", "app", "domain"]
    assert (made.body["domain"], made.body["owner"]) == ("www.example.com", "bob")
    await amber.send("apps.create", "eve", {"id": "elm"})
    taken = {"domain": ["Domain is already in use by another application"]}
    for name in (
        "www.example.com", "WWW.EXAMPLE.COM", "amber", "amber.localhost", "deis", "deis.localhost",
        "localhost", "*.localhost",
    ):  # fmt: skip
        reply = await amber.send("domains.add", "eve", {"domain": name}, app="elm")
        assert (reply.status, reply.body) == (400, taken), name
    assert (
        await amber.send("domains.add", "ada", {"domain": "*.b.example"}, app="amber")
    ).status == 201
    assert (
        await amber.send("domains.add", "ada", {"domain": "Ünder.example"}, app="amber")
    ).status == 201
    listed = (await amber.send("domains.list", "ada", app="amber")).body["results"]
    assert [domain["domain"] for domain in listed] == [
        "*.b.example",
        "amber",
        "www.example.com",
        "xn--nder-zra.example",
    ]
    assert (await amber.send("domains.remove", "bob", app="amber", domain="amber")).status == 403
    for name, status in (
        ("ünder.example", 204),
        ("ünder.example", 404),
        ("a b", 404),
        ("amber", 204),
    ):
        reply = await amber.send("domains.remove", "ada", app="amber", domain=name)
        assert reply.status == status, name
        assert status == 404 or reply.body is None
    foreign = await amber.send("domains.remove", "eve", app="elm", domain="www.example.com")
    assert (foreign.status, foreign.body) == (404, MISSING.format("Domain"))


async def test_a_host_somebody_has_is_not_an_apps_default(amber: Api) -> None:
    for host in ("elm", "fir.localhost"):
        made = await amber.send("domains.add", "ada", {"domain": host}, app="amber")
        assert made.status == 201
        name = host.removesuffix(".localhost")
        assert (await amber.send("apps.create", "eve", {"id": name})).status == 201
        assert (await amber.send("domains.list", "eve", app=name)).body["results"] == []


async def test_a_page_is_no_larger_than_a_message(amber: Api) -> None:
    for _ in range(5):
        await amber.deployed("amber")
    release = await amber.deployed("amber")
    async with amber.deps.db.transaction() as tx:
        await tx.execute("UPDATE builds SET dockerfile = repeat('x', 1000000)")
    page = (await amber.send("builds.list", "ada", app="amber", query={"limit": "6"})).body
    assert page["count"] == 6
    assert len(page["results"]) == 5
    assert page["next"].endswith("?limit=6&offset=5")
    assert page["results"][0]["uuid"] == release.build


async def test_a_null_character_is_in_no_path(amber: Api) -> None:
    for name, path, query in (
        ("keys.read", {"key": "a\0"}, {}),
        ("events.list", {}, {"app": "a\0"}),
    ):
        reply = await amber.send(name, "ada", query=query, at=path)
        assert (reply.status, reply.body) == (400, {"detail": "Null characters are not allowed."})


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


async def test_the_platform_tells_its_addresses(amber: Api) -> None:
    body = (await amber.send("platform.info", "eve")).body
    assert set(body) == {"domain", "api", "git", "version", "registration"}
    assert (body["domain"], body["registration"]) == ("localhost", "enabled")


async def test_events_of_an_app_are_for_its_users(amber: Api) -> None:
    for who, app, status in (
        ("bob", "amber", 200),
        ("eve", "amber", 403),
        ("eve", "x", 404),
        ("eve", "", 200),
    ):
        query = {"app": app} if app else {}
        assert (await amber.send("events.list", who, query=query)).status == status


async def test_no_configuration_is_in_the_database_in_clear(amber: Api) -> None:
    word = "tr0ub4dor-and-three"
    body = {"values": {"SECRET": word, "PORT": "80"}, "registry": {"password": word}}
    await amber.send("config.set", "ada", body, app="amber", once="k1")
    await amber.deployed("amber", SECRET=word)
    tables = await amber.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for row in tables:
        dump = str(await amber.rows(f"SELECT t::text FROM {row['tablename']} t"))
        assert word not in dump
        assert word.encode().hex() not in dump
    assert word in str((await amber.send("config.read", "ada", app="amber")).body)
