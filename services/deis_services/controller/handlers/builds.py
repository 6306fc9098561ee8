"""Builds and their output (api.md 7)."""

import re

from deis_bus.contracts.http import ApiAnswer
from deis_services.controller import presenters, store
from deis_services.controller.handlers.submitting import submit
from deis_services.controller.pages import page_of, paged
from deis_services.controller.problem import missing
from deis_services.controller.request import Handler, Request, answer
from deis_services.controller.rules.builds import validate

NEWEST = "newest"
"""Stands for the newest push in `/builds/newest/output`."""
_UUID = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


def is_uuid(text: str) -> bool:
    """Whether the database would read it as an identity."""
    return _UUID.fullmatch(text) is not None


async def list_builds(request: Request) -> ApiAnswer:
    """Newest first, those whose release failed among them."""
    page, app = page_of(request.call), request.app
    count = await request.tx.fetchval("SELECT count(*) FROM builds WHERE app = $1::uuid", app.uuid)
    rows = await request.tx.fetch(
        f"{store.BUILD} WHERE b.app = $1::uuid ORDER BY b.created DESC, b.uuid LIMIT $2 OFFSET $3",
        app.uuid,
        page.limit,
        page.offset,
    )
    shown = [presenters.build(store.build_of(row), app.id) for row in rows]
    return paged(request.call, page, count, shown)


async def create_build(request: Request) -> ApiAnswer:
    """Deploy an image; the Procfile policy is judged at the operation's turn."""
    return await submit(request, "build", validate(request.body))


async def read_build(request: Request) -> ApiAnswer:
    """The build asked for (the original always gave the newest)."""
    app, asked = request.app, request.call.path["build"]
    build = await store.build(request.tx, asked) if is_uuid(asked) else None
    if build is None or build.app != app.uuid:
        raise missing("Build")
    return answer(200, presenters.build(build, app.id))


async def output(request: Request) -> ApiAnswer:
    """Which build's output the gateway should serve, and how far that push is."""
    app, asked = request.app, request.call.path["build"]
    if asked != NEWEST and not is_uuid(asked):
        raise missing("Build")
    row = await request.tx.fetchrow(
        """SELECT uuid::text AS uuid, state FROM pushes
           WHERE app = $1::uuid AND ($2::uuid IS NULL OR uuid = $2::uuid) AND state <> 'closed'
           ORDER BY number DESC LIMIT 1""",
        app.uuid,
        None if asked == NEWEST else asked,
    )
    if row is None:
        raise missing("Build")
    body = {"build": row["uuid"], "appuuid": app.uuid, "app": app.id, "state": row["state"]}
    return answer(200, body)


HANDLERS = {
    "builds.list": Handler(list_builds),
    "builds.create": Handler(create_build),
    "builds.read": Handler(read_build),
    "builds.output": Handler(output),
}
