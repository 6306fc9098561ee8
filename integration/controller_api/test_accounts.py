"""Registering, logging in, passwords, tokens, admins and keys (api.md 3, 5, 20)."""

import asyncio
import dataclasses
import re

import pytest

from deis_platform.crypto import hash_password
from deis_services.controller.deps import Deps
from integration.controller_api.rig import PASSWORD, Api, public_text

pytestmark = pytest.mark.server

ADA = {"username": "ada", "password": PASSWORD, "email": "ada@example.com"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


async def registered(api: Api, *names: str) -> None:
    """Users through the API, the first one an admin."""
    for name in names:
        reply = await api.send("auth.register", body=ADA | {"username": name})
        assert reply.status == 201
        login = await api.send("auth.login", body={"username": name, "password": PASSWORD})
        api.tokens[name] = login.body["token"]


def mode(api: Api, word: str) -> Api:
    """The same platform with another registration mode."""
    settings = dataclasses.replace(api.deps.settings, registration_mode=word)
    deps: Deps = dataclasses.replace(api.deps, settings=settings)
    other = Api(deps)
    other.tokens = api.tokens
    return other


async def test_the_first_user_is_an_admin(api: Api) -> None:
    reply = await api.send("auth.register", body=ADA | {"is_superuser": False})
    assert reply.status == 201
    assert TIME.fullmatch(reply.body.pop("last_login"))
    assert TIME.fullmatch(reply.body.pop("date_joined"))
    assert reply.body == {
        "email": "ada@example.com",
        "username": "ada",
        "first_name": "",
        "last_name": "",
        "is_superuser": True,
        "is_staff": True,
        "groups": [],
        "user_permissions": [],
        "is_active": True,
    }
    second = await api.send("auth.register", body={"username": "bob", "password": "x"})
    assert (second.status, second.body["is_superuser"], second.body["email"]) == (201, False, "")
    assert await api.events() == [
        ("user.registered", "_", False, ""),
        ("user.registered", "_", False, ""),
    ]


async def test_two_first_users_at_once_are_not_both_admins(api: Api) -> None:
    async with asyncio.TaskGroup() as group:
        made = [
            group.create_task(api.send("auth.register", body=ADA | {"username": f"user{n}"}))
            for n in range(5)
        ]
    assert sorted(task.result().body["is_superuser"] for task in made) == [False] * 4 + [True]


async def test_a_name_is_taken_whatever_its_case(api: Api) -> None:
    await registered(api, "ada")
    for name in ("ada", "Ada", " ADA "):
        reply = await api.send("auth.register", body=ADA | {"username": name})
        assert reply.status == 400
        assert reply.body == {"username": ["A user with that username already exists."]}


async def test_login_gives_the_same_token_each_time(api: Api) -> None:
    await registered(api, "ada")
    first = await api.send("auth.login", body={"username": "ada", "password": PASSWORD})
    again = await api.send("auth.login", body={"username": " ada ", "password": PASSWORD})
    assert first.body == again.body
    assert re.fullmatch(r"[0-9a-f]{40}", first.body["token"])
    assert (await api.send("auth.whoami", "ada")).body["username"] == "ada"
    held = await api.rows("SELECT hash FROM tokens")
    assert first.body["token"] not in str(held)


async def test_logins_that_are_refused(api: Api) -> None:
    await registered(api, "ada")
    wrong = {"non_field_errors": ["Unable to log in with provided credentials."]}
    for body in (
        {"username": "ada", "password": "x"},
        {"username": "Ada", "password": PASSWORD},
        {"username": "nobody", "password": PASSWORD},
        {"username": "ada", "password": f" {PASSWORD}"},
    ):
        reply = await api.send("auth.login", body=body)
        assert (reply.status, reply.body) == (400, wrong)
    reply = await api.send("auth.login", body={"username": "ada"})
    assert reply.body == {"password": ["This field is required."]}


async def test_the_eleventh_login_of_a_minute_is_refused(api: Api) -> None:
    await registered(api, "ada")
    bad = {"username": "ada", "password": "x"}
    replies = [await api.send("auth.login", body=bad) for _ in range(9)]
    assert {reply.status for reply in replies} == {400}
    last = await api.send("auth.login", body=bad | {"password": PASSWORD})
    assert last.status == 429
    assert last.answer.headers["Retry-After"] == "60"
    other = await api.send("auth.login", body={"username": "bob", "password": "x"})
    assert other.status == 400


async def test_many_logins_at_once_do_not_pass_the_limit(api: Api) -> None:
    bad = {"username": "ada", "password": "x"}
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(api.send("auth.login", body=bad)) for _ in range(20)]
    assert [task.result().status for task in tasks].count(400) <= 10


async def test_registration_modes(api: Api) -> None:
    only = mode(api, "admin_only")
    first = await only.send("auth.register", body=ADA)
    assert (first.status, first.body["is_superuser"]) == (201, True)
    await api.user("admin", admin=True)
    await api.user("bob")
    eve = ADA | {"username": "eve"}
    denied = await only.send("auth.register", body=eve)
    assert denied.status == 403
    assert denied.body == {"detail": "Authentication credentials were not provided."}
    denied = await only.send("auth.register", "bob", eve)
    assert denied.body == {"detail": "You do not have permission to perform this action."}
    assert (await only.send("auth.register", "admin", eve)).status == 201
    closed = await mode(api, "disabled").send("auth.register", "admin", ADA | {"username": "zoe"})
    assert (closed.status, closed.body) == (403, {"detail": "Registration is disabled"})


async def test_passwords(api: Api) -> None:
    await registered(api, "root", "ada", "bob")
    ask = "auth.passwd"
    for who, body, status, wanted in (
        ("ada", {}, 400, {"detail": "new_password is a required field"}),
        ("ada", {"new_password": ""}, 400, {"detail": "new_password is a required field"}),
        ("ada", {"new_password": "n"}, 400, {"detail": "password is a required field"}),
        (
            "ada",
            {"new_password": "n", "password": "x"},
            401,
            {"detail": "Current password does not match"},
        ),
        ("ada", {"new_password": "n", "password": PASSWORD, "username": "bob"}, 403, None),
        (
            "root",
            {"new_password": "n", "username": "nobody"},
            404,
            "No User matches the given query.",
        ),
        ("ada", {"new_password": " n ", "password": PASSWORD}, 200, {"status": "password set"}),
        ("root", {"new_password": "m", "username": "bob"}, 200, {"status": "password set"}),
    ):
        reply = await api.send(ask, who, body)
        assert reply.status == status, (who, body)
        if wanted is not None:
            assert reply.body == wanted
    for name, password in (("ada", " n "), ("bob", "m")):
        login = await api.send("auth.login", body={"username": name, "password": password})
        assert login.body == {"token": api.tokens[name]}


async def test_tokens_are_replaced(api: Api) -> None:
    await registered(api, "root", "ada", "bob")
    before = dict(api.tokens)
    own = await api.send("auth.tokens", "ada")
    assert own.status == 200
    assert own.body["token"] != before["ada"]
    assert (await api.send("root.read", token=before["ada"])).status == 401
    assert (await api.send("root.read", token=own.body["token"])).body == {}
    api.tokens["ada"] = own.body["token"]
    assert (await api.send("auth.tokens", "ada", {"username": "ada"})).status == 403
    assert (await api.send("auth.tokens", "ada", {"all": False})).status == 403
    assert (await api.send("auth.tokens", "root", {"username": "nobody"})).status == 404
    bobs = await api.send("auth.tokens", "root", {"username": "bob"})
    assert (await api.send("auth.whoami", token=bobs.body["token"])).body["username"] == "bob"
    everybody = await api.send("auth.tokens", "root", {"all": True})
    assert (everybody.status, everybody.body) == (200, "")
    for token in (own.body["token"], bobs.body["token"], before["root"]):
        assert (await api.send("root.read", token=token)).status == 401


async def test_cancelling(api: Api) -> None:
    await registered(api, "root", "ada", "bob")
    await api.send("apps.create", "bob", {"id": "birch"})
    assert (await api.send("auth.cancel", "ada", {"username": "bob"})).status == 403
    assert (await api.send("auth.cancel", "root", {"username": "nobody"})).status == 404
    held = await api.send("auth.cancel", "bob")
    assert held.status == 409
    assert held.body == {
        "detail": "bob still has applications assigned. Delete or transfer ownership"
    }
    last = await api.send("auth.cancel", "root")
    assert (last.status, last.body) == (409, {"detail": "The last administrator cannot be removed"})
    await api.send("keys.add", "ada", {"id": "laptop", "public": public_text("laptop")})
    await api.send("perms.add", "bob", {"username": "ada"}, app="birch")
    assert (await api.send("auth.cancel", "ada")).status == 204
    assert (await api.send("root.read", "ada")).status == 401
    assert await api.rows("SELECT 1 FROM keys") == []
    assert await api.rows("SELECT 1 FROM shares") == []
    assert ("user.cancelled", "_", False, "ada") in await api.events()


async def test_rows_in_an_app_of_another_keep_a_user(api: Api) -> None:
    await registered(api, "root", "ada", "bob")
    await api.send("apps.create", "bob", {"id": "birch"})
    await api.send("perms.add", "bob", {"username": "ada"}, app="birch")
    await api.send("domains.add", "ada", {"domain": "x.example.com"}, app="birch")
    held = await api.send("auth.cancel", "ada")
    assert held.status == 409
    assert held.body["detail"].startswith("ada still owns builds, configurations, releases or")


async def test_admins(api: Api) -> None:
    await registered(api, "root", "ada")
    assert (await api.send("admins.list", "root")).body["results"] == [
        {"username": "root", "is_superuser": True}
    ]
    assert (await api.send("admins.add", "root", {})).body == {
        "username": ["This field is required."]
    }
    assert (await api.send("admins.add", "root", {"username": "x"})).status == 404
    assert (await api.send("admins.remove", "root", username="root")).status == 409
    assert (await api.send("admins.remove", "root", username="ada")).status == 204
    for _ in range(2):
        made = await api.send("admins.add", "root", {"username": "ada"})
        assert (made.status, made.body) == (201, None)
    assert (await api.send("admins.list", "ada")).body["count"] == 2
    assert (await api.send("admins.remove", "ada", username="root")).status == 204
    assert (await api.send("admins.remove", "ada", username="ada")).status == 409


async def test_two_admins_cannot_remove_each_other_at_once(api: Api) -> None:
    await api.user("one", admin=True)
    await api.user("two", admin=True)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(api.send("admins.remove", "one", username="two"))
        second = group.create_task(api.send("admins.remove", "two", username="one"))
    assert sorted((first.result().status, second.result().status)) in ([204, 403], [204, 409])
    assert len(await api.rows("SELECT 1 FROM users WHERE is_superuser")) == 1


async def test_users_are_listed_in_pages(api: Api) -> None:
    await api.user("admin", admin=True)
    for n in range(4):
        await api.user(f"user{n}")
    page = (await api.send("users.list", "admin", query={"limit": "2", "offset": "1"})).body
    url = "http://deis.example.com/v2/things"
    assert [user["username"] for user in page["results"]] == ["user0", "user1"]
    assert (page["count"], page["next"], page["previous"]) == (
        5,
        f"{url}?limit=2&offset=3",
        f"{url}?limit=2",
    )
    for query in ({}, {"limit": "0"}, {"limit": "-1", "offset": "x"}, {"limit": "9" * 30}):
        whole = (await api.send("users.list", "admin", query=query)).body
        assert (len(whole["results"]), whole["next"], whole["previous"]) == (5, None, None)


async def test_keys(api: Api) -> None:
    await api.user("ada")
    await api.user("bob")
    text = public_text("laptop")
    made = await api.send("keys.add", "ada", {"id": "ada@laptop", "public": text})
    assert made.status == 201
    assert list(made.body) == ["uuid", "owner", "created", "updated", "id", "public", "fingerprint"]
    assert (made.body["owner"], made.body["public"]) == ("ada", text)
    assert (await api.send("keys.read", "ada", key="ada@laptop")).body == made.body
    for who, body, wrong in (
        ("ada", {"id": "ada@laptop", "public": public_text("x")}, ["id"]),
        ("bob", {"id": "ada@laptop", "public": public_text("x")}, ["id"]),
        ("ada", {"id": "other", "public": text.rsplit(" ", 1)[0] + " other comment"}, ["public"]),
        ("bob", {"id": "other", "public": text}, ["public"]),
        ("bob", {"id": "ada@laptop", "public": text}, ["id", "public"]),
    ):
        reply = await api.send("keys.add", who, body)
        assert (reply.status, list(reply.body)) == (400, wrong)
    assert (await api.send("keys.list", "bob")).body["results"] == []
    assert (await api.send("keys.read", "bob", key="ada@laptop")).body == (
        "No Key matches the given query."
    )
    assert (await api.send("keys.remove", "bob", key="ada@laptop")).status == 404
    assert (await api.send("keys.remove", "ada", key="ada@laptop")).status == 204
    assert (await api.send("keys.read", "ada", key="ada@laptop")).status == 404
    types = [event[0] for event in await api.events()]
    assert types == ["key.added", "key.removed"]


async def test_a_password_is_kept_as_a_slow_hash(api: Api) -> None:
    await registered(api, "ada")
    (row,) = await api.rows("SELECT password FROM users")
    assert row["password"].startswith("$argon2id$")
    assert row["password"] != await hash_password(PASSWORD)
