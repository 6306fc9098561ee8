"""Every endpoint of the table as a request on the bus: who, may they, seen before, do, answer."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

import msgspec

from deis_bus.api.table import ENDPOINTS, Endpoint, Kind
from deis_bus.clock import new_id
from deis_bus.contracts.http import ApiAnswer, ApiCall, method
from deis_bus.errors import Refused, Transient
from deis_bus.rpc import Context, Method
from deis_bus.rpc import Handler as RpcHandler
from deis_platform.database import CommitUnknown, Transaction
from deis_services.controller import callers, idempotency, store
from deis_services.controller.authorize import authorize
from deis_services.controller.callers import Caller
from deis_services.controller.deps import Deps
from deis_services.controller.handlers import (
    apps,
    auth,
    builds,
    domains,
    hooks,
    keys,
    ours,
    perms,
    processes,
    releases,
    users,
)
from deis_services.controller.internal import Internal
from deis_services.controller.problem import Problem, detail, missing
from deis_services.controller.request import Handler, Request, answer
from deis_services.controller.rules.fields import NUL, Invalid

_NOUNS = (apps, auth, builds, domains, hooks, keys, ours, perms, processes, releases, users)
HANDLERS: Mapping[str, Handler] = {
    name: handler for noun in _NOUNS for name, handler in noun.HANDLERS.items()
}
"""Every endpoint's handler by its name in the table."""

_CHANGES = (Kind.WRITE, Kind.OPERATION)


def methods(deps: Deps) -> dict[Method[Any, Any], RpcHandler]:
    """What the controller answers for the gateway and, about rights, for other services."""
    served: dict[Method[Any, Any], RpcHandler] = {
        method(endpoint.name): Served(deps, endpoint, HANDLERS[endpoint.name]).answer
        for endpoint in ENDPOINTS
    }
    return served | Internal(deps).methods()


class Served:
    """One endpoint."""

    def __init__(self, deps: Deps, endpoint: Endpoint, handler: Handler) -> None:
        self._deps = deps
        self._endpoint = endpoint
        self._handler = handler
        self._changes = endpoint.kind in _CHANGES

    async def answer(self, call: ApiCall, context: Context) -> ApiAnswer:
        """The request's answer; refusals become answers here and nowhere else."""
        call = msgspec.structs.replace(
            call,
            request_id=call.request_id or context.request_id or new_id(),
            traceparent=call.traceparent or context.traceparent,
        )
        try:
            if any("\0" in text for text in (*call.path.values(), *call.query.values())):
                raise detail(400, NUL)
            return await self._answer(call)
        except Problem as problem:
            body = msgspec.Raw(msgspec.json.encode(problem.body))
            return ApiAnswer(status=problem.status, body=body, headers=problem.headers)
        except Invalid as fault:
            return answer(400, fault.fields)
        except Refused as fault:
            return answer(fault.code, {"detail": fault.detail})

    async def _answer(self, call: ApiCall) -> ApiAnswer:
        prepared = None
        if self._handler.before is not None:
            async with self._deps.db.transaction() as tx:
                caller = await self._admit(tx, call)
                kept = await self._kept(tx, call, caller)
            if kept is not None:
                return kept
            prepared = await self._handler.before(self._deps, call, caller)
        request: Request | None = None
        given: Any = None
        try:
            async with self._opened() as tx:
                kept = await self._kept_of_gone(tx, call)
                if kept is not None:
                    return kept
                request = self._request(tx, call, await self._admit(tx, call), prepared)
                given = await self._within(request)
        except CommitUnknown:
            if request is None or not await self._committed(call):
                raise
        if request is None:
            raise Transient("the request was cut off")
        return await self._finish(request, given)

    def _opened(self) -> AbstractAsyncContextManager[Transaction]:
        """A read needs no single moment, and so no transaction: two round trips less."""
        db = self._deps.db
        return db.reading() if self._endpoint.kind == Kind.READ else db.transaction()

    def _request(self, tx: Transaction, call: ApiCall, caller: Caller, prepared: Any) -> Request:
        return Request(
            deps=self._deps,
            call=call,
            endpoint=self._endpoint,
            caller=caller,
            tx=tx,
            prepared=prepared,
        )

    async def _admit(self, tx: Transaction, call: ApiCall) -> Caller:
        caller = await callers.by_token(
            tx, call.token, call.path.get("app", ""), builder=call.builder
        )
        authorize(self._endpoint, caller, call.path)
        return caller

    async def _within(self, request: Request) -> Any:
        """The handler in its transaction; a repeated change gets the first answer instead."""
        call, user = request.call, request.caller.user
        if not self._changes:
            return await self._handler.within(request)
        once = user is not None and bool(call.idempotency_key)
        if user is not None and once:
            kept = await idempotency.begin(
                request.tx, self._deps.keyring, user.id, call, call.path.get("app", "")
            )
            if kept is not None:
                return kept
        await self._hold(request)
        given = await self._handler.within(request)
        if user is not None and once:
            await idempotency.keep(request.tx, self._deps.keyring, user.id, call, given)
        return given

    async def _hold(self, request: Request) -> None:
        """Hold the application's row: it keeps the application's events in order."""
        app = request.caller.app
        if app is None:
            return
        held = await store.lock_app(request.tx, app.uuid)
        if held is None:
            raise missing("App")
        request.caller = msgspec.structs.replace(request.caller, app=held)
        authorize(self._endpoint, request.caller, request.call.path)

    async def _kept_of_gone(self, tx: Transaction, call: ApiCall) -> ApiAnswer | None:
        """The first answer to a repeated destroy: the application it names is no longer there."""
        if self._endpoint.name != "apps.destroy" or not call.idempotency_key:
            return None
        caller = await callers.by_token(tx, call.token, call.path["app"])
        return await self._kept(tx, call, caller)

    async def _kept(self, tx: Transaction, call: ApiCall, caller: Caller) -> ApiAnswer | None:
        user = caller.user
        if user is None or not user.is_active or not (self._changes and call.idempotency_key):
            return None
        app = call.path.get("app", "")
        return await idempotency.kept(tx, self._deps.keyring, user.id, call, app)

    async def _committed(self, call: ApiCall) -> bool:
        """Whether a commit whose answer was lost took place: its rows carry the request's id."""
        async with self._deps.db.transaction() as tx:
            found = await tx.fetchval(
                """SELECT EXISTS (SELECT FROM operations WHERE request_id = $1)
                       OR EXISTS (SELECT FROM events WHERE correlationid = $1
                                  AND created > now() - interval '10 minutes')""",
                call.request_id,
            )
        return bool(found)

    async def _finish(self, request: Request, given: Any) -> ApiAnswer:
        if self._handler.after is not None:
            given = await self._handler.after(request, given)
        for appuuid in dict.fromkeys(request.nudges):
            self._deps.nudge(appuuid)
        for app, line in request.lines:
            # The change is made: that its log line finds no bus must not turn it into an error.
            with suppress(Transient):
                await self._deps.shipper.platform_line(app.id, app.uuid, "controller", "INFO", line)
        return _checked(given)


def _checked(given: Any) -> ApiAnswer:
    if not isinstance(given, ApiAnswer):
        raise TypeError(f"a handler gave {type(given).__name__}, not an answer")
    return given
