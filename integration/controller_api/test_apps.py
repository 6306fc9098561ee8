"""Applications, domains, sharing, and what else is told of them (api.md 6, 13, 19)."""

import re

import pytest

from deis_bus.contracts.access import VISIBLE, Visible, VisibleAnswer
from deis_bus.errors import Refused
from integration.controller_api.rig import MISSING, Api

pytestmark = pytest.mark.server

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


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
