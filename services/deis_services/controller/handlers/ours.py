"""What the original API does not have: operations, events, the platform (DESIGN 5)."""

from typing import Any

import msgspec

from deis_bus.contracts.components import COMPONENTS_LIST
from deis_bus.contracts.http import ApiAnswer
from deis_bus.rpc import Empty, call
from deis_services.controller import callers, operations
from deis_services.controller.authorize import may_use
from deis_services.controller.handlers.builds import is_uuid
from deis_services.controller.handlers.processes import nothing
from deis_services.controller.presenters import when
from deis_services.controller.problem import forbidden, missing
from deis_services.controller.request import Handler, Request, answer

VERSION = "2.3.0"
MANAGER_SECONDS = 5.0


async def read_operation(request: Request) -> ApiAnswer:
    """An operation of the caller's own, or of an application they may use."""
    asked = request.call.path["operation"]
    row = (
        await request.tx.fetchrow("SELECT * FROM operations WHERE id = $1::uuid", asked)
        if is_uuid(asked)
        else None
    )
    if row is None:
        raise missing("Operation")
    uses, gone = await _rights(request, row)
    own = row["caller_id"] == request.user.id
    if not own and not uses:
        raise forbidden()
    ended = row["state"] in ("succeeded", "failed")
    # The answer may hold configuration: only for who may read that now.
    shown = operations.answer_of(request.deps.keyring, row) if ended and (uses or gone) else None
    return answer(200, _present(row, shown))


async def _rights(request: Request, row: Any) -> tuple[bool, bool]:
    """Whether the caller may use the operation's application now, and whether it is gone."""
    caller = await callers.by_name(request.tx, request.user.username, row["app_id"])
    if caller.app is None or caller.app.uuid != str(row["app"]):
        return request.user.is_superuser, True
    return caller.uses, False


def _present(row: Any, given: ApiAnswer | None) -> dict[str, Any]:
    body = bytes(given.body) if given else b""
    return {
        "id": str(row["id"]),
        "app": row["app_id"],
        "kind": row["kind"],
        "owner": row["caller"],
        "state": row["state"],
        "version": row["version"],
        "status": row["status"],
        "answer": msgspec.Raw(body) if body else None,
        "created": when(row["created"]),
        "started": when(row["started"]),
        "ended": when(row["ended"]),
    }


async def list_events(request: Request) -> ApiAnswer:
    """May they? The gateway serves the stream; of one application only to who may use it."""
    app_id = request.call.query.get("app", "")
    if app_id:
        may_use(await callers.by_name(request.tx, request.user.username, app_id))
    return answer(200, {"username": request.user.username, "admin": request.user.is_superuser})


async def platform(request: Request) -> ApiAnswer:
    """Addresses a client needs, and how one may register."""
    settings = request.deps.settings
    body = {
        "domain": settings.platform.domain,
        "api": settings.api_url,
        "git": settings.git_url,
        "version": VERSION,
        "registration": settings.registration_mode,
    }
    return answer(200, body)


async def components(request: Request, _: None) -> ApiAnswer:
    """What the workflow manager knows of every component; 503 while it is away."""
    found = await call(request.deps.bus, COMPONENTS_LIST, Empty(), seconds=MANAGER_SECONDS)
    results = msgspec.to_builtins(found.components)
    return answer(200, {"results": results, "count": len(results)})


HANDLERS = {
    "components.list": Handler(nothing, after=components),
    "operations.read": Handler(read_operation),
    "events.list": Handler(list_events),
    "platform.info": Handler(platform),
}
