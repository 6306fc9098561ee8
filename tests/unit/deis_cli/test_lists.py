"""Domains, sharing, users, keys, events, versions: the smaller nouns."""

import json

from aiohttp import web

from tests.unit.deis_cli.scripted import VERSIONS, Person
from tests.unit.deis_cli.test_apps import page

PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAbcdefghijklmnop ada@laptop"


async def test_domains(ada: Person) -> None:
    found = page({"domain": "blog"}, {"domain": "www.shop.test"})
    ada.server.says("GET /v2/apps/blog/domains/", 200, found)
    shown = await ada.types("domains", "-a", "blog")
    assert shown.out == "=== blog Domains\nblog\nwww.shop.test\n"
    ada.server.says("POST /v2/apps/blog/domains/", 201, {"domain": "*.shop.test"})
    shown = await ada.types("domains:add", "*.shop.test", "-a", "blog")
    assert shown.out == "Adding *.shop.test to blog... done\n"
    ada.server.says("DELETE /v2/apps/blog/domains/*.shop.test", 204)
    shown = await ada.types("domains:remove", "*.shop.test", "-a", "blog")
    assert shown.out == "Removing *.shop.test from blog... done\n"


async def test_perms(ada: Person) -> None:
    ada.server.says("GET /v2/apps/blog/perms/", 200, {"users": ["bob"]})
    assert (await ada.types("perms", "-a", "blog")).out == "=== blog's Users\nbob\n"
    ada.server.says("POST /v2/apps/blog/perms/", 201)
    shown = await ada.types("sharing:add", "bob", "-a", "blog")
    assert shown.out == "Adding bob to blog collaborators... done\n"
    ada.server.says("DELETE /v2/apps/blog/perms/b@b.co", 204)
    shown = await ada.types("perms:delete", "b@b.co", "-a", "blog")
    assert shown.out == "Removing b@b.co from blog collaborators... done\n"
    assert (await ada.types("perms:remove", "b@b.co", "-a", "blog")).code == 0


async def test_perms_of_administrators(ada: Person) -> None:
    found = page({"username": "ada", "is_superuser": True}, count=2)
    ada.server.says("GET /v2/admin/perms/?limit=1", 200, found)
    shown = await ada.types("perms", "--admin", "-l", "1")
    assert shown.out == "=== Administrators (1 of 2)\nada\n"
    ada.server.says("POST /v2/admin/perms/", 201)
    shown = await ada.types("perms:create", "bob", "--admin")
    assert shown.out == "Adding bob to system administrators... done\n"
    ada.server.says("DELETE /v2/admin/perms/bob", 204)
    assert (await ada.types("perms:delete", "bob", "--admin")).code == 1
    shown = await ada.types("perms:delete", "bob", "--admin", "--yes")
    assert shown.out == "Removing bob from system administrators... done\n"
    assert (await ada.types("perms", "--admin", "-a", "x")).code == 2
    assert (await ada.types("perms", "-a", "x", "-l", "1")).code == 2


async def test_users(ada: Person) -> None:
    found = page({"username": "ada", "is_superuser": True}, {"username": "bob"})
    ada.server.says("GET /v2/users/", 200, found)
    assert (await ada.types("users")).out == "=== Users (*=admin)\n*ada\nbob\n"


async def test_keys(ada: Person) -> None:
    ada.server.says("POST /v2/keys/", 201)
    (ada.home / ".ssh").mkdir()
    path = ada.home / ".ssh" / "id_ed25519.pub"
    path.write_text(PUBLIC + "\n")
    shown = await ada.types("keys:add", str(path))
    assert shown.out == "Uploading id_ed25519.pub to deis... done\n"
    assert ada.server.asked[-1].body == {"id": "ada@laptop", "public": PUBLIC}
    for words in (("mine", str(path)), (str(path), "mine")):
        await ada.types("keys:add", *words)
        assert ada.server.asked[-1].body["id"] == "mine"
    shown = await ada.types("keys:add", stdin="1\n", terminal=True)
    assert "1) id_ed25519.pub ada@laptop" in shown.out
    assert (await ada.types("keys:add", stdin="2\n", terminal=True)).code == 1
    assert (await ada.types("keys:add")).code == 1
    ada.server.says("GET /v2/keys/", 200, page({"id": "ada@laptop", "public": PUBLIC}))
    shown = await ada.types("keys")
    assert shown.out == "=== ada Keys\nada@laptop ssh-ed25519 AAAA...ada@laptop\n"
    ada.server.says("DELETE /v2/keys/ada@laptop", 204)
    shown = await ada.types("keys:remove", "ada@laptop")
    assert shown.out == "Removing ada@laptop SSH Key... done\n"


async def test_a_private_key_is_not_sent(ada: Person) -> None:
    path = ada.home / "id"
    path.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nx\n")
    shown = await ada.types("keys:add", str(path))
    assert (shown.code, ada.server.paths()) == (1, [])


async def test_a_version_mismatch_is_one_warning(ada: Person) -> None:
    ada.server.headers["DEIS_API_VERSION"] = "2.2"
    ada.server.says("GET /v2/apps/", 200, page())
    shown = await ada.types("apps")
    assert (shown.code, shown.out) == (0, "=== Apps\n")
    lines = shown.err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("!    ") for line in lines)
    assert lines[1:] == ["!    Client version: 2.3", "!    Server version: 2.2"]
    ada.server.headers["DEIS_API_VERSION"] = "2.10"
    assert (await ada.types("apps")).err == ""


def told(number: int, kind: str) -> dict[str, object]:
    """An event as our gateway tells it."""
    return {
        "id": f"i{number}",
        "type": kind,
        "time": "2027-02-01T09:12:44.000000Z",
        "app": "blog",
        "actor": "ada",
        "cursor": f"e-{number}",
        "data": {"version": number, "summary": "ada did it"},
    }


def sent(*events: dict[str, object]) -> bytes:
    """Server-sent events."""
    return b"".join(
        f": hello\n\nid: {event['cursor']}\ndata: {json.dumps(event)}\n\n".encode()
        for event in events
    )


async def test_events(ada: Person) -> None:
    async def answer(_: web.Request) -> web.Response:
        body = sent(told(1, "release.created"), told(2, "deploy.done"))
        return web.Response(body=body, headers=VERSIONS, content_type="text/event-stream")

    ada.server.answers["GET /v2/events"] = answer
    shown = await ada.types("events", "-a", "blog", "--type", "deploy.done", "--since", "e-0")
    assert shown.out.splitlines()[0] == (
        'e-1 2027-02-01T09:12:44.000000Z blog release.created by ada version=1 summary="ada did it"'
    )
    query = ada.server.paths()[-1].partition("?")[2]
    assert query == "since=e-0&type=deploy.done&app=blog&follow=false"
    shown = await ada.types("events", "-o", "json")
    assert [json.loads(line)["cursor"] for line in shown.out.splitlines()] == ["e-1", "e-2"]


async def test_following_events_resumes_behind_the_last(ada: Person) -> None:
    async def answer(request: web.Request) -> web.Response:
        since = request.query.get("since")
        if since == "e-2":
            body = {"detail": "gone", "cursor": "e-7"}
            return web.json_response(body, status=410, headers=VERSIONS)
        body_ = sent(told(2, "deploy.done") if since == "e-1" else told(1, "release.created"))
        return web.Response(body=body_, headers=VERSIONS)

    ada.server.answers["GET /v2/events"] = answer
    shown = await ada.types("events", "-f")
    assert [line.split()[0] for line in shown.out.splitlines()] == ["e-1", "e-2"]
    assert shown.code == 1
    assert "--since e-7" in shown.err


async def test_an_original_controller_has_no_events(ada: Person) -> None:
    shown = await ada.types("events")
    assert (shown.code, "has no events" in shown.err) == (1, True)


async def test_attach_follows_one_build_through_a_broken_connection(ada: Person) -> None:
    whole = b"-----> one\n-----> two\n"
    rounds: list[int] = []
    looks: list[int] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.query.get("state") == "only":
            looks.append(1)
            if len(looks) == 2:
                return web.Response(status=503)
            state = "released" if len(looks) == 4 else "building"
            return web.json_response(
                {"build": "b1", "state": state, "app": "blog"}, headers=VERSIONS
            )
        rounds.append(1)
        response = web.StreamResponse(headers=VERSIONS)
        await response.prepare(request)
        if len(rounds) == 1:
            await response.write(whole[:14])
            assert request.transport is not None
            request.transport.close()
        else:
            await response.write(whole)
        return response

    async def away(request: web.Request) -> web.StreamResponse:
        if len(rounds) == 1 and request.query.get("state") != "only":
            rounds.append(1)
            return web.Response(status=502)
        return await answer(request)

    for name in ("newest", "b1"):
        ada.server.answers[f"GET /v2/apps/blog/builds/{name}/output"] = away
    shown = await ada.types("builds:attach", "-a", "blog")
    assert (shown.code, shown.out.encode()) == (0, whole)
    assert (len(rounds), len(looks)) == (3, 4)


async def test_attach_to_a_failed_build(ada: Person) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.query.get("state") == "only":
            return web.json_response({"build": "b1", "state": "failed"}, headers=VERSIONS)
        return web.Response(text="no\n", headers=VERSIONS)

    for name in ("newest", "b1"):
        ada.server.answers[f"GET /v2/apps/blog/builds/{name}/output"] = answer
    shown = await ada.types("builds:attach", "-a", "blog")
    assert (shown.code, shown.out) == (1, "no\n")
