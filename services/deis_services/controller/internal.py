"""Requests of other services: who may do what now (contracts `access` and `push`)."""

from typing import Any

from deis_bus.api import table
from deis_bus.contracts.access import (
    ACCESS_CHECK,
    VISIBLE,
    AccessAnswer,
    AccessCheck,
    Visible,
    VisibleAnswer,
    VisibleApp,
)
from deis_bus.contracts.apps import APP_FIND, AppFind, AppFound
from deis_bus.contracts.push import (
    APPS_ALIVE,
    KEY_LOOKUP,
    REPO_OPEN,
    AppsAlive,
    AppsAliveAnswer,
    KeyLookup,
    KeyOwner,
    RepoOpen,
    RepoOpened,
)
from deis_bus.errors import Refused
from deis_bus.rpc import Context, Handler, Method
from deis_platform.database import Transaction
from deis_services.controller import callers
from deis_services.controller.authorize import authorize, may_use
from deis_services.controller.callers import Caller
from deis_services.controller.deps import Deps
from deis_services.controller.handlers.apps import VISIBLE as VISIBLE_SQL
from deis_services.controller.handlers.builds import is_uuid
from deis_services.controller.problem import INVALID_TOKEN, Problem, as_refused


class Internal:
    """Answers what no HTTP request asks."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    def methods(self) -> dict[Method[Any, Any], Handler]:
        """For `deis_bus.rpc.endpoints`."""
        return {
            ACCESS_CHECK: self.check,
            VISIBLE: self.visible,
            KEY_LOOKUP: self.key_lookup,
            REPO_OPEN: self.repo_open,
            APPS_ALIVE: self.apps_alive,
            APP_FIND: self.app_find,
        }

    async def check(self, question: AccessCheck, _: Context) -> AccessAnswer:
        """May this token's owner do that now? Refused 401, 403 or 404 otherwise."""
        endpoint = table.BY_NAME.get(question.action)
        if endpoint is None:
            raise Refused(400, f"there is no endpoint {question.action}")
        async with self._deps.db.reading() as tx:
            caller = await callers.by_token(tx, question.token, question.app)
        try:
            authorize(endpoint, caller, {})
            if question.app:
                may_use(caller)
        except Problem as problem:
            raise as_refused(problem) from problem
        if caller.user is None:
            raise Refused(401, INVALID_TOKEN)
        return AccessAnswer(
            username=caller.user.username,
            admin=caller.user.is_superuser,
            appuuid=caller.app.uuid if caller.app else "",
        )

    async def visible(self, question: Visible, _: Context) -> VisibleAnswer:
        """Which applications this token's owner sees now."""
        async with self._deps.db.reading() as tx:
            caller = await callers.by_token(tx, question.token)
            if caller.user is None or not caller.user.is_active:
                raise Refused(401, INVALID_TOKEN)
            rows = await tx.fetch(
                f"SELECT a.id, a.uuid::text AS uuid FROM apps a WHERE {VISIBLE_SQL}",  # noqa: S608
                caller.user.is_superuser,
                caller.user.id,
            )
        return VisibleAnswer(
            username=caller.user.username,
            admin=caller.user.is_superuser,
            apps=tuple(VisibleApp(row["id"], row["uuid"]) for row in rows),
        )

    async def key_lookup(self, question: KeyLookup, _: Context) -> KeyOwner:
        """Who owns an SSH key."""
        async with self._deps.db.reading() as tx:
            caller = await callers.by_key(tx, question.fingerprint)
        if caller.user is None or not caller.user.is_active:
            raise Refused(404, "No Key matches the given query.")
        return KeyOwner(caller.user.username)

    async def repo_open(self, question: RepoOpen, _: Context) -> RepoOpened:
        """May this key's owner use the application's repository?"""
        async with self._deps.db.reading() as tx:
            caller = await self._pusher(tx, question)
        if caller.user is None or caller.app is None:
            raise Refused(401, "The key is not known.")
        return RepoOpened(caller.user.username, caller.app.id, caller.app.uuid)

    async def _pusher(self, tx: Transaction, question: RepoOpen) -> Caller:
        caller = await callers.by_key(tx, question.fingerprint, question.app)
        if caller.user is None or not caller.user.is_active:
            raise Refused(401, "The key is not known.")
        try:
            may_use(caller)
        except Problem as problem:
            raise as_refused(problem) from problem
        return caller

    async def apps_alive(self, question: AppsAlive, _: Context) -> AppsAliveAnswer:
        """Which identities are applications now."""
        asked = [uuid for uuid in question.appuuids if is_uuid(uuid)]
        async with self._deps.db.reading() as tx:
            rows = await tx.fetch(
                "SELECT uuid::text AS uuid FROM apps WHERE uuid = ANY($1::uuid[])", asked
            )
        return AppsAliveAnswer(tuple(row["uuid"] for row in rows))

    async def app_find(self, question: AppFind, _: Context) -> AppFound:
        """The identity behind a name, for the operator's tools."""
        async with self._deps.db.reading() as tx:
            uuid = await tx.fetchval("SELECT uuid::text FROM apps WHERE id = $1", question.app)
        if uuid is None:
            raise Refused(404, f"there is no application {question.app}")
        return AppFound(uuid)
