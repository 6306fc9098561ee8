"""Every endpoint of the table with every role: who may is written here by hand, per kind of access.

A refused request must leave every table as it was.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from deis_bus.api.table import BY_NAME, ENDPOINTS, Access, Kind
from deis_bus.contracts.access import ACCESS_CHECK, AccessAnswer, AccessCheck
from deis_bus.errors import Refused
from deis_platform.crypto import hash_password
from deis_services.controller import accounts
from integration.controller_api.rig import (
    PASSWORD,
    Api,
    Reply,
    deploy,
    empty,
    fingerprints,
    public_text,
)

pytestmark = pytest.mark.server

USERS = ("admin", "owner", "collaborator", "stranger")
ROLES = ("anonymous", "bad token", "old token", "cancelled", "asleep", "builder", *USERS)
NOBODY = dict.fromkeys(
    ("anonymous", "bad token", "old token", "cancelled", "asleep", "builder"), 401
)
UNKNOWN = dict.fromkeys(("bad token", "old token", "cancelled", "asleep"), 401)

REFUSED: Mapping[Access, Mapping[str, int]] = {
    Access.ANYONE: UNKNOWN,
    Access.REGISTER: {},
    Access.USER: NOBODY,
    Access.ADMIN: NOBODY | dict.fromkeys(("owner", "collaborator", "stranger"), 403),
    Access.APP_USE: NOBODY | {"stranger": 403},
    Access.APP_OWN: NOBODY | {"stranger": 403, "collaborator": 403},
    Access.APP_UNSHARE: NOBODY | {"stranger": 403},
    Access.BUILDER: {role: 401 for role in NOBODY if role != "builder"} | dict.fromkeys(USERS, 403),
}
"""Who is refused, and how; everybody else may."""
SILENT = ("auth.login",)
"""Changes that nobody is told of."""
NARROWER: Mapping[str, Mapping[str, int]] = {"operations.read": {"stranger": 403}}
"""Where a known user's right depends on what is asked for, beside the path's application."""

APP = {"app": "amber"}
BUILD = "00000000-0000-4000-8000-000000000001"
OPERATION = "00000000-0000-4000-8000-000000000002"
HOOK = {"receive_user": "owner", "receive_repo": "amber"}

PATHS: Mapping[str, Mapping[str, str]] = {
    "admins.remove": {"username": "stranger"},
    "keys.read": {"key": "{role}-key"},
    "keys.remove": {"key": "{role}-key"},
    "builds.read": {"build": BUILD},
    "builds.output": {"build": BUILD},
    "releases.read": {"version": "v2"},
    "releases.stages": {"version": "v2"},
    "pods.list.type": {"type": "web"},
    "pods.restart.type": {"type": "web"},
    "pods.list.pod": {"typed": "web", "pod": "amber-web-1234567890-abcde"},
    "pods.restart.pod": {"typed": "web", "pod": "amber-web-1234567890-abcde"},
    "domains.remove": {"domain": "www.example.com"},
    "perms.remove": {"username": "collaborator"},
    "hooks.key": {"fingerprint": "{owner key}"},
    "hooks.keys.user": {"username": "owner"},
    "operations.read": {"operation": OPERATION},
}
BODIES: Mapping[str, Mapping[str, Any]] = {
    "auth.register": {"username": "newcomer", "password": "p", "email": ""},
    "auth.login": {"username": "owner", "password": PASSWORD},
    "auth.passwd": {"password": PASSWORD, "new_password": "other horse"},
    "admins.add": {"username": "stranger"},
    "keys.add": {"id": "new", "public": public_text("new")},
    "apps.create": {"id": "birch"},
    "apps.update": {"owner": "stranger"},
    "builds.create": {"image": "registry/example"},
    "config.set": {"values": {"A": "1"}},
    "apps.scale": {"web": 2},
    "apps.run": {"command": "true"},
    "domains.add": {"domain": "new.example.com"},
    "perms.add": {"username": "stranger"},
    "hooks.config": HOOK,
    "hooks.build": HOOK | {"image": "registry/example"},
}


class World:
    """A platform with an application and everybody who may or may not use it."""

    def __init__(self, api: Api, hashed: str) -> None:
        self.api = api
        self.hashed = hashed
        self.owner_key = ""

    async def build(self) -> None:
        """From nothing."""
        api = self.api
        async with api.deps.db.transaction() as tx:
            await empty(tx)
        for name in (*USERS, "cancelled", "renewed", "asleep"):
            user = await api.user(name, self.hashed, admin=name == "admin")
            fingerprint = await api.key(user, f"{name}-key")
            self.owner_key = fingerprint if name == "owner" else self.owner_key
        reply = await api.send("apps.create", "owner", {"id": "amber"})
        assert reply.status == 201
        await self._rows()

    async def _rows(self) -> None:
        async with self.api.deps.db.transaction() as tx:
            app = await tx.fetchval("SELECT uuid::text FROM apps")
            await deploy(tx, self.api.deps, "amber", {})
            await tx.execute(
                """INSERT INTO builds (uuid, app, owner_id, image)
                   SELECT $1::uuid, $2::uuid, id, 'x' FROM users WHERE username = 'owner'""",
                BUILD,
                app,
            )
            await tx.execute(
                """INSERT INTO pushes (uuid, app, number, user_id, username, state)
                   VALUES ($1::uuid, $2::uuid, 1, 1, 'owner', 'released')""",
                BUILD,
                app,
            )
            await tx.execute(
                """INSERT INTO operations (id, app, app_id, kind, caller_id, caller, request_id,
                                           input_sealed)
                   VALUES ($1::uuid, $2::uuid, 'amber', 'restart', 1, 'owner', 'r1', '\\x')""",
                OPERATION,
                app,
            )
            await tx.execute(
                """INSERT INTO domains (app, owner_id, domain)
                   SELECT uuid, owner_id, 'www.example.com' FROM apps"""
            )
            await tx.execute(
                """INSERT INTO shares (app, user_id)
                   SELECT $1::uuid, id FROM users WHERE username = 'collaborator'""",
                app,
            )
            await tx.execute("DELETE FROM users WHERE username = 'cancelled'")
            await tx.execute("UPDATE users SET is_active = false WHERE username = 'asleep'")
            renewed = await accounts.user_named(tx, "renewed")
            await accounts.new_token(tx, self.api.deps.keyring, renewed.id)

    def token(self, role: str) -> str:
        """What the role sends as its token."""
        named = {"old token": "renewed"}.get(role, role)
        return "f" * 40 if role == "bad token" else self.api.tokens.get(named, "")

    async def send(self, name: str, role: str) -> Reply:
        """A request that is good but for who sends it."""
        endpoint = BY_NAME[name]
        path = dict(APP) if "{app}" in endpoint.path else {}
        for key, value in PATHS.get(name, {}).items():
            path[key] = value.replace("{role}", role).replace("{owner key}", self.owner_key)
        async with self.api.deps.db.transaction() as tx:
            await tx.execute("DELETE FROM logins")
        return await self.api.send(
            name,
            body=BODIES.get(name),
            token=self.token(role),
            builder=role == "builder",
            stream="s1" if endpoint.kind == Kind.STREAM else "",
            at=path,
        )

    async def digest(self) -> dict[str, str]:
        """What every table holds."""
        async with self.api.deps.db.transaction() as tx:
            return await fingerprints(tx)


@pytest.fixture
async def world(api: Api) -> World:
    made = World(api, await hash_password(PASSWORD))
    await made.build()
    return made


def test_every_kind_of_access_is_judged_here() -> None:
    assert set(REFUSED) == set(Access)


def test_every_parameter_of_a_path_is_given_here() -> None:
    for endpoint in ENDPOINTS:
        wanted = {part[1:-1] for part in endpoint.path.split("/") if part.startswith("{")}
        given = set(PATHS.get(endpoint.name, {})) | ({"app"} & wanted)
        assert given == wanted, endpoint.name


@pytest.mark.parametrize("name", [endpoint.name for endpoint in ENDPOINTS])
async def test_who_may(world: World, name: str) -> None:
    refused = {**REFUSED[BY_NAME[name].access], **NARROWER.get(name, {})}
    for role in ROLES:
        before = await world.digest()
        reply = await world.send(name, role)
        if role in refused:
            assert reply.status == refused[role], (role, reply.body)
            assert isinstance(reply.body["detail"], str)
            assert await world.digest() == before, role
        else:
            assert reply.status not in (401, 403, 404), (role, reply.body)
            assert reply.status < 500 or name == "apps.logs", (role, reply.body)
            await world.build()


@pytest.mark.parametrize(
    "name", [e.name for e in ENDPOINTS if e.access == Access.APP_USE and e.method == "GET"]
)
async def test_a_stream_is_judged_like_its_request(world: World, name: str) -> None:
    refused = REFUSED[Access.APP_USE]
    for role in ROLES:
        if role in ("anonymous", "builder"):
            continue
        hashed = world.api.deps.keyring.token_hash(world.token(role))
        question = AccessCheck(token=hashed, action=name, app="amber")
        if role in refused:
            with pytest.raises(Refused) as caught:
                await world.api.ask(ACCESS_CHECK, question)
            assert caught.value.code == refused[role], role
        else:
            given: AccessAnswer = await world.api.ask(ACCESS_CHECK, question)
            assert (given.username, given.admin) == (role, role == "admin")
            assert given.appuuid


@pytest.mark.parametrize(
    "name", [e.name for e in ENDPOINTS if e.kind in (Kind.WRITE, Kind.OPERATION)]
)
async def test_every_change_is_told(world: World, name: str) -> None:
    role = {"auth.cancel": "stranger"}.get(name, "admin")
    role = "builder" if BY_NAME[name].access == Access.BUILDER else role
    if name == "admins.remove":
        await world.send("admins.add", "admin")
    before = await world.api.events()
    reply = await world.send(name, role)
    assert reply.status in (200, 201, 202, 204), reply.body
    told = (await world.api.events())[len(before) :]
    assert bool(told) == (name not in SILENT)
    actor = "owner" if role == "builder" else role
    assert all(by == actor for *_, by in told)
    assert all(identity == (app != "_") for _, app, identity, _ in told)


async def test_a_missing_app_is_told_to_who_is_known(world: World) -> None:
    for endpoint in ENDPOINTS:
        if "{app}" not in endpoint.path or endpoint.access == Access.BUILDER:
            continue
        path = dict(PATHS.get(endpoint.name, {})) | {"app": "nowhere"}
        body = BODIES.get(endpoint.name)
        for role, status in (("stranger", 404), ("admin", 404), ("", 401)):
            reply = await world.api.send(endpoint.name, role, body, at=path)
            assert reply.status == status, (endpoint.name, role)
        assert (await world.api.send(endpoint.name, "admin", body, at=path)).body == (
            "No App matches the given query."
        )


async def test_a_token_that_is_no_token(world: World) -> None:
    reply = await world.send("auth.login", "bad token")
    assert (reply.status, reply.body) == (401, {"detail": "Invalid token."})
    reply = await world.send("root.read", "anonymous")
    assert reply.body == {"detail": "Authentication credentials were not provided."}
    reply = await world.send("root.read", "asleep")
    assert reply.body == {"detail": "User inactive or deleted."}
    reply = await world.send("apps.read", "stranger")
    assert reply.body == {"detail": "You do not have permission to perform this action."}
    assert (await world.send("auth.register", "bad token")).status == 201


async def test_a_body_that_is_no_object_changes_nothing(world: World) -> None:
    for endpoint in ENDPOINTS:
        if endpoint.method != "POST" or endpoint.access == Access.BUILDER:
            continue
        path = dict(PATHS.get(endpoint.name, {})) | (APP if "{app}" in endpoint.path else {})
        for raw in (b'["a"]', b'"a"', b"7"):
            before = await world.digest()
            reply = await world.api.send(endpoint.name, "admin", raw=raw, at=path)
            if reply.status < 400:  # an endpoint that reads no body
                await world.build()
                continue
            assert reply.status == 400, (endpoint.name, raw[:10])
            assert list(reply.body) == ["non_field_errors"]
            assert await world.digest() == before


def test_bodies_are_of_endpoints_that_exist() -> None:
    assert set(BODIES) <= set(BY_NAME)
    assert set(PATHS) <= set(BY_NAME)
    assert msgspec.json.encode(BODIES)
