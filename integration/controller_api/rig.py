"""A controller's API without a gateway: requests as the bus brings them, on a real database."""

import base64
from collections.abc import Mapping
from typing import Any

import msgspec

from deis_bus.contracts.http import ApiAnswer, ApiCall, method
from deis_bus.errors import Refused
from deis_bus.ports import Endpoint, Received
from deis_bus.rpc import Method, endpoints
from deis_platform.database import Transaction
from deis_platform.metrics import Metrics
from deis_services.controller import accounts, store
from deis_services.controller.deps import Deps
from deis_services.controller.model import App, Build, Config, Release, User
from deis_services.controller.rules.accounts import Registration
from deis_services.controller.rules.keys import fingerprint
from deis_services.controller.served import served

PASSWORD = "correct horse"
URL = "http://deis.example.com/v2/things"
MISSING = "No {} matches the given query."
"""The text of a 404."""


class Reply(msgspec.Struct, frozen=True):
    """An answer with its body decoded; None for an empty one."""

    status: int
    body: Any
    answer: ApiAnswer


class Api:
    """Sends what a gateway would send, and fails on anything unexpected."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps
        self.tokens: dict[str, str] = {}
        self._served: dict[str, Endpoint] = endpoints(
            served(deps, Metrics("controller")), self._unexpected
        )

    @staticmethod
    def _unexpected(subject: str, fault: Exception) -> None:
        raise AssertionError(f"{subject} broke: {fault!r}") from fault

    async def ask(self, asked: Method[Any, Any], question: msgspec.Struct) -> Any:
        """A request on the bus; raises Refused as the caller would see it."""
        data = msgspec.json.encode(question)
        answer = await self._served[asked.subject](Received(asked.subject, {}, data))
        if answer.code:
            raise Refused(answer.code, answer.detail, answer.kind)
        return asked.decode_answer(answer.data)

    async def send(
        self,
        name: str,
        who: str = "",
        body: object = None,
        *,
        raw: bytes = b"",
        query: Mapping[str, str] | None = None,
        token: str = "",
        builder: bool = False,
        once: str = "",
        request_id: str = "",
        stream: str = "",
        at: Mapping[str, str] | None = None,
        **path: str,
    ) -> Reply:
        """A request to an endpoint of the table by a user (or with a token) and its answer.

        Parameters of the path by name, or as a mapping in `at`.
        """
        sent = token or self.tokens.get(who, "")
        call = ApiCall(
            endpoint=name,
            path={**(at or {}), **path},
            query=dict(query or {}),
            body=msgspec.Raw(raw if body is None else msgspec.json.encode(body)),
            token=self.deps.keyring.token_hash(sent) if sent else "",
            builder=builder,
            url=URL,
            address="192.0.2.7",
            idempotency_key=once,
            request_id=request_id,
            stream=stream,
        )
        answer: ApiAnswer = await self.ask(method(name), call)
        raw_body = bytes(answer.body)
        decoded = msgspec.json.decode(raw_body) if raw_body else None
        return Reply(answer.status, decoded, answer)

    async def user(self, username: str, hashed: str = "", *, admin: bool = False) -> User:
        """A user whose token `send` knows; `hashed` is the password's hash."""
        asked = Registration(username=username, password="", email="", first_name="", last_name="")
        async with self.deps.db.transaction() as tx:
            made = await accounts.insert_user(tx, self.deps.keyring, asked, hashed, admin=admin)
        self.tokens[username] = accounts.token_of(self.deps.keyring, made.id, 1)
        return made

    async def key(self, user: User, name: str) -> str:
        """An SSH key of a user; gives its fingerprint."""
        public = public_text(name)
        async with self.deps.db.transaction() as tx:
            await tx.execute(
                "INSERT INTO keys (user_id, id, public, fingerprint) VALUES ($1, $2, $3, $4)",
                user.id,
                name,
                public,
                fingerprint(public),
            )
        return fingerprint(public) or ""

    async def deployed(self, app_id: str, **values: str) -> Release:
        """A build and a succeeded release of it, as an ended operation leaves them."""
        async with self.deps.db.transaction() as tx:
            return await deploy(tx, self.deps, app_id, values)

    async def rows(self, query: str, *args: object) -> list[dict[str, Any]]:
        """What the database holds."""
        async with self.deps.db.transaction() as tx:
            return [dict(row) for row in await tx.fetch(query, *args)]

    async def events(self) -> list[tuple[str, str, bool, str]]:
        """Every event so far: type, application, whether it has an identity, actor."""
        rows = await self.rows(
            "SELECT type, app, appuuid <> '' AS known, actor FROM events ORDER BY seq"
        )
        return [(row["type"], row["app"], row["known"], row["actor"]) for row in rows]


async def deploy(
    tx: Transaction, deps: Deps, app_id: str, values: Mapping[str, str], state: str = "succeeded"
) -> Release:
    """Rows of a build, a configuration and a release of an application."""
    app: App | None = await store.app_by_id(tx, app_id)
    if app is None:
        raise LookupError(app_id)
    build: Build = await store.insert_build(
        tx,
        app=app.uuid,
        owner_id=app.owner_id,
        image=f"slugs/{app.uuid}/1-1.tgz",
        sha="1234567890",
        procfile={"web": "run", "worker": "work"},
    )
    config = await store.insert_config(
        tx, deps.keyring, Config(app=app.uuid, values=dict(values)), app.owner_id
    )
    return await store.insert_release(
        tx,
        app=app.uuid,
        owner_id=app.owner_id,
        summary=f"{app.owner} deployed 1234567",
        config=config.uuid,
        build=build.uuid,
        state=state,
    )


def public_text(name: str) -> str:
    """An SSH public key that is different for each name."""
    return f"ssh-ed25519 {base64.b64encode(name.encode()).decode()} {name}"


TABLES = (
    "users", "tokens", "keys", "apps", "shares", "configs", "builds", "releases", "domains",
    "operations", "idempotency", "pushes", "events", "reservations",
)  # fmt: skip


async def fingerprints(tx: Transaction) -> dict[str, str]:
    """A digest of every table: what is equal before and after has not changed."""
    union = " UNION ALL ".join(
        f"SELECT '{name}' AS name, md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) AS sum"
        f" FROM {name} t"
        for name in TABLES
    )
    return {row["name"]: row["sum"] for row in await tx.fetch(union)}


async def empty(tx: Transaction) -> None:
    """Everything away."""
    await tx.execute(f"TRUNCATE {', '.join((*TABLES, 'logins'))} RESTART IDENTITY CASCADE")
