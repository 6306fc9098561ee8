"""Applications (api.md 6)."""

from deis_bus.contracts.http import ApiAnswer, ApiCall
from deis_bus.errors import Refused, Transient
from deis_bus.events.apps import AppCreated, AppUpdated
from deis_bus.events.releases import ReleaseCreated
from deis_services.controller import accounts, presenters, reservations, store
from deis_services.controller.app_names import made_up
from deis_services.controller.callers import Caller
from deis_services.controller.deps import Deps
from deis_services.controller.handlers.domains import claim
from deis_services.controller.handlers.submitting import submit
from deis_services.controller.model import App, Config
from deis_services.controller.pages import page_of, paged
from deis_services.controller.request import Handler, Request, answer, body_of
from deis_services.controller.reservations import Reservation
from deis_services.controller.rules.accounts import optional_username
from deis_services.controller.rules.apps import TAKEN, app_name
from deis_services.controller.rules.config import with_tags
from deis_services.controller.rules.fields import Invalid
from deis_services.controller.rules.summary import summary

VISIBLE = """($1 OR a.owner_id = $2
              OR EXISTS (SELECT FROM shares s WHERE s.app = a.uuid AND s.user_id = $2))"""
"""Apps a user sees: `$1` whether an admin, `$2` the user."""


async def list_apps(request: Request) -> ApiAnswer:
    """One's own and those shared with one; all of them for an admin."""
    page, user = page_of(request.call), request.user
    count = await request.tx.fetchval(
        f"SELECT count(*) FROM apps a WHERE {VISIBLE}",  # noqa: S608 - our own text
        user.is_superuser,
        user.id,
    )
    rows = await request.tx.fetch(
        f'{store.APP} WHERE {VISIBLE} ORDER BY a.id COLLATE "C" LIMIT $3 OFFSET $4',
        user.is_superuser,
        user.id,
        page.limit,
        page.offset,
    )
    return paged(request.call, page, count, [presenters.app(store.app_of(row)) for row in rows])


async def before_create(deps: Deps, call: ApiCall, _caller: Caller) -> Reservation:
    """The name that was asked for, or one that is made up, kept by the runtime, too."""
    name = app_name(body_of(call))
    if name:
        found = await reservations.reserve(deps, name)
        if found is None:
            raise Invalid({"id": [TAKEN]})
        return found
    for name in made_up():
        found = await _free(deps, name)
        if found is not None:
            return found
    raise Invalid({"id": ["No free name was found. Choose one"]})


async def _free(deps: Deps, name: str) -> Reservation | None:
    try:
        return await reservations.reserve(deps, name)
    except Refused as fault:
        if fault.kind != "foreign":
            raise
        return None


async def create_app(request: Request) -> ApiAnswer:
    """The application, its empty configuration and release v1, in one transaction."""
    app = await _insert(request, request.prepared)
    await claim(request.tx, request.deps, app, request.user.id, app.id)
    empty = with_tags(Config(app=app.uuid), request.deps.settings.deploy.tags)
    config = await store.insert_config(request.tx, request.deps.keyring, empty, request.user.id)
    release = await store.insert_release(
        request.tx,
        app=app.uuid,
        owner_id=request.user.id,
        summary=summary(None, None, config, app.owner, 1),
        config=config.uuid,
        build=None,
        state="succeeded",
    )
    await request.announce(AppCreated(owner=app.owner), app)
    created = ReleaseCreated(version=release.version, summary=release.summary, config=config.uuid)
    await request.announce(created, app)
    request.changed(app, release.summary)
    return answer(201, presenters.app(app))


async def _insert(request: Request, reserved: Reservation) -> App:
    """In the place of its reservation. Somebody who asked for the same name may be faster."""
    taken = await reservations.take(request.tx, reserved)
    uuid = await request.tx.fetchval(
        """INSERT INTO apps (id, uuid, owner_id) SELECT $1, $2::uuid, $3 WHERE $4
           ON CONFLICT (id) DO NOTHING RETURNING uuid::text""",
        reserved.id,
        reserved.uuid,
        request.user.id,
        taken,
    )
    app = await store.app_by_uuid(request.tx, uuid) if uuid else None
    if app is not None:
        return app
    if await request.tx.fetchval("SELECT EXISTS (SELECT FROM apps WHERE id = $1)", reserved.id):
        raise Invalid({"id": [TAKEN]})
    raise Transient(f"the name {reserved.id} came and went meanwhile")


async def read_app(request: Request) -> ApiAnswer:
    """One application."""
    return answer(200, presenters.app(request.app))


async def update_app(request: Request) -> ApiAnswer:
    """Hand it over: the old owner's rows of this application go along, others' stay theirs."""
    app, username = request.app, optional_username(request.body, "owner")
    if not username:
        request.changed(app)
        return answer(200)
    new = await accounts.user_named(request.tx, username)
    for table in ("releases", "configs", "builds", "domains"):
        await request.tx.execute(
            f"UPDATE {table} SET owner_id = $3 WHERE app = $1::uuid AND owner_id = $2",  # noqa: S608
            app.uuid,
            app.owner_id,
            new.id,
        )
    await request.tx.execute(
        "UPDATE apps SET owner_id = $2, updated = now() WHERE uuid = $1::uuid", app.uuid, new.id
    )
    await request.announce(AppUpdated(owner=new.username), app)
    request.changed(app)
    return answer(200)


async def destroy_app(request: Request) -> ApiAnswer:
    """Waits its turn like every operation."""
    return await submit(request, "destroy", {})


HANDLERS = {
    "apps.list": Handler(list_apps),
    "apps.create": Handler(create_app, before=before_create),
    "apps.read": Handler(read_app),
    "apps.update": Handler(update_app),
    "apps.destroy": Handler(destroy_app),
}
