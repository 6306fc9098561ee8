"""What the original's builder asks with its shared key, mended (api.md 21)."""

from typing import Any

from deis_bus.contracts.http import ApiAnswer
from deis_services.controller import callers, operations, presenters, store
from deis_services.controller.authorize import may_use
from deis_services.controller.handlers.apps import VISIBLE
from deis_services.controller.model import App, User
from deis_services.controller.problem import detail, forbidden, missing
from deis_services.controller.request import Handler, Request, answer
from deis_services.controller.rules.builds import validate
from deis_services.controller.rules.fields import Form


async def key(request: Request) -> ApiAnswer:
    """Who owns a key, and where they may push."""
    caller = await callers.by_key(request.tx, request.call.path["fingerprint"])
    if caller.user is None or not caller.user.is_active:
        raise missing("Key")
    rows = await request.tx.fetch(
        f'SELECT a.id FROM apps a WHERE {VISIBLE} ORDER BY a.id COLLATE "C"',  # noqa: S608
        caller.user.is_superuser,
        caller.user.id,
    )
    return answer(200, {"username": caller.user.username, "apps": [row["id"] for row in rows]})


async def keys(request: Request) -> ApiAnswer:
    """Keys of those an application is shared with."""
    app = await store.app_by_id(request.tx, request.call.path["app"])
    if app is None:
        raise missing("App")
    rows = await request.tx.fetch(
        """SELECT u.username, k.public, k.fingerprint FROM shares s
           JOIN users u ON u.id = s.user_id JOIN keys k ON k.user_id = u.id
           WHERE s.app = $1::uuid ORDER BY u.username, k.public""",
        app.uuid,
    )
    return answer(200, _by_user(rows))


async def keys_of_user(request: Request) -> ApiAnswer:
    """Keys of one user who may use the application."""
    path = request.call.path
    _, user = await _acting(request, path["username"], path["app"])
    rows = await request.tx.fetch(
        """SELECT u.username, k.public, k.fingerprint FROM keys k JOIN users u ON u.id = k.user_id
           WHERE u.id = $1 ORDER BY k.public""",
        user.id,
    )
    if not rows:
        raise detail(404, "No Keys match the given query.")
    return answer(200, _by_user(rows))


async def config(request: Request) -> ApiAnswer:
    """The configuration a build gets."""
    app, _ = await _received(request)
    release = await store.newest_successful(request.tx, app.uuid)
    if release is None:
        raise missing("Release")
    found = await store.config(request.tx, request.deps.keyring, release.config)
    return answer(200, presenters.config(found, app.id))


async def build(request: Request) -> ApiAnswer:
    """A build made elsewhere: the same operation as `POST …/builds`."""
    found, user = await _received(request)
    given = validate(request.body) | {"hook": True}
    app = await store.lock_app(request.tx, found.uuid)
    if app is None:
        raise missing("App")
    request.changed(app)
    return await operations.submit(
        request.tx,
        request.deps,
        app=app,
        kind="build",
        input=given,
        user=user,
        call=request.call,
    )


async def _received(request: Request) -> tuple[App, User]:
    form = Form(request.body)
    username = form.text("receive_user", required=True)
    app = form.text("receive_repo", required=True)
    form.done()
    return await _acting(request, username, app)


async def _acting(request: Request, username: str, app_id: str) -> tuple[App, User]:
    """The user the builder acts for; unknown ones and strangers are refused alike."""
    caller = await callers.by_name(request.tx, username, app_id)
    if caller.app is None:
        raise missing("App")
    may_use(caller)
    if caller.user is None:
        raise forbidden()
    return caller.app, caller.user


def _by_user(rows: list[Any]) -> dict[str, list[dict[str, str]]]:
    shown: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        entry = {"key": row["public"], "fingerprint": row["fingerprint"]}
        shown.setdefault(row["username"], []).append(entry)
    return shown


HANDLERS = {
    "hooks.key": Handler(key),
    "hooks.keys": Handler(keys),
    "hooks.keys.user": Handler(keys_of_user),
    "hooks.config": Handler(config),
    "hooks.build": Handler(build),
}
