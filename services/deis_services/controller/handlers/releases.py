"""Configuration and releases (api.md 8, 9)."""

from deis_bus.contracts.http import ApiAnswer
from deis_services.controller import presenters, store
from deis_services.controller.handlers.submitting import submit
from deis_services.controller.model import Release
from deis_services.controller.pages import page_of, paged
from deis_services.controller.problem import missing
from deis_services.controller.request import Handler, Request, answer
from deis_services.controller.rules.config import validate_patch
from deis_services.controller.rules.releases import wanted_version
from deis_services.controller.rules.stages import in_order


async def read_config(request: Request) -> ApiAnswer:
    """The configuration of the newest successful release."""
    release = await newest(request)
    config = await store.config(request.tx, request.deps.keyring, release.config)
    return answer(200, presenters.config(config, request.app.id))


async def newest(request: Request) -> Release:
    """The newest successful release of the path's application; there always is v1."""
    release = await store.newest_successful(request.tx, request.app.uuid)
    if release is None:
        raise missing("Release")
    return release


async def set_config(request: Request) -> ApiAnswer:
    """A change of the configuration; it is laid over the newest one at its turn."""
    patch = validate_patch(request.body, request.deps.settings.config_bytes)
    return await submit(request, "config", {"patch": patch})


async def list_releases(request: Request) -> ApiAnswer:
    """Newest first, failed ones among them."""
    page, app = page_of(request.call), request.app
    count = await request.tx.fetchval(
        "SELECT count(*) FROM releases WHERE app = $1::uuid", app.uuid
    )
    rows = await request.tx.fetch(
        f"{store.RELEASE} WHERE r.app = $1::uuid ORDER BY r.version DESC LIMIT $2 OFFSET $3",
        app.uuid,
        page.limit,
        page.offset,
    )
    shown = [presenters.release(store.release_of(row), app.id) for row in rows]
    return paged(request.call, page, count, shown)


async def read_release(request: Request) -> ApiAnswer:
    """One release."""
    return answer(200, presenters.release(await _asked(request), request.app.id))


async def stages(request: Request) -> ApiAnswer:
    """Where the seconds of a release went, from push start to routes."""
    release = await _asked(request)
    total = round(sum(release.stages.values()), 3)
    return answer(
        200, {"version": release.version, "stages": in_order(release.stages), "total": total}
    )


async def roll_back(request: Request) -> ApiAnswer:
    """Back to an earlier release; which one may be is judged at its turn."""
    version = wanted_version(request.body.get("version"))
    return await submit(request, "rollback", {"version": version})


async def _asked(request: Request) -> Release:
    digits = request.call.path["version"].removeprefix("v")
    version = int(digits) if len(digits) < 10 else 0
    release = await store.release(request.tx, request.app.uuid, version)
    if release is None:
        raise missing("Release")
    return release


HANDLERS = {
    "config.read": Handler(read_config),
    "config.set": Handler(set_config),
    "releases.list": Handler(list_releases),
    "releases.read": Handler(read_release),
    "releases.stages": Handler(stages),
    "releases.rollback": Handler(roll_back),
}
