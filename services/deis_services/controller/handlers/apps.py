"""Applications (api.md 6)."""

from deis_bus.contracts.http import ApiAnswer
from deis_bus.contracts.runtime import AppRef
from deis_bus.events.apps import AppCreated, AppUpdated
from deis_bus.events.releases import ReleaseCreated
from deis_services.controller import accounts, presenters, store
from deis_services.controller.app_names import made_up
from deis_services.controller.handlers.domains import claim
from deis_services.controller.handlers.submitting import submit
from deis_services.controller.model import App, Config
from deis_services.controller.pages import page_of, paged
from deis_services.controller.request import Handler, Request, answer
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


async def create_app(request: Request) -> ApiAnswer:
    """The application, its empty configuration and release v1, in one transaction."""
    name = app_name(request.body)
    app = await _insert(request, name) if name else await _insert_made_up(request)
    await request.deps.runtime.claim(AppRef(app=app.id, appuuid=app.uuid))
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


async def _insert(request: Request, name: str) -> App:
    app = await _try_insert(request, name)
    if app is None:
        raise Invalid({"id": [TAKEN]})
    return app


async def _insert_made_up(request: Request) -> App:
    for name in made_up():
        app = await _try_insert(request, name)
        if app is not None:
            return app
    raise Invalid({"id": ["No free name was found. Choose one"]})


async def _try_insert(request: Request, name: str) -> App | None:
    uuid = await request.tx.fetchval(
        """INSERT INTO apps (id, owner_id) VALUES ($1, $2)
           ON CONFLICT (id) DO NOTHING RETURNING uuid::text""",
        name,
        request.user.id,
    )
    return await store.app_by_uuid(request.tx, uuid) if uuid else None


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
    "apps.create": Handler(create_app),
    "apps.read": Handler(read_app),
    "apps.update": Handler(update_app),
    "apps.destroy": Handler(destroy_app),
}
