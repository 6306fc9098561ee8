"""What an operation does at its turn, in one transaction, on the newest successful release.

Each kind reads the present state, asks the rules, writes config, build and release rows with
their events, and says what is to be driven: a release to deploy, counts to reach, or nothing.
"""

from collections.abc import Awaitable, Callable

import msgspec

from deis_bus.errors import Refused
from deis_bus.events import Event
from deis_bus.events.apps import AppDestroyed, AppRestarted, AppScaled
from deis_bus.events.releases import ConfigChanged, ReleaseCreated
from deis_platform.database import Transaction
from deis_platform.events import announce
from deis_services.controller import presenters, specs, store
from deis_services.controller.deps import Deps
from deis_services.controller.model import App, Build, Config, Operation, Release
from deis_services.controller.rules.config import changes, merge, with_tags
from deis_services.controller.rules.releases import rollback_target
from deis_services.controller.rules.structure import (
    counts_for_deploy,
    merge_scale,
    procfile_policy,
)
from deis_services.controller.rules.summary import summary

MARGIN_SECONDS = 30.0
"""A runtime judges the deploy's own limit; the operation waits this much longer."""


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """What follows the first transaction of an operation."""

    status: int
    """Of the answer when it succeeds."""
    body: object | None = None
    drive: str = ""
    """`deploy` a release, `scale`, `restart`, `destroy`, or empty: it is done already."""
    version: int | None = None
    seconds: float = 0.0
    line: str = ""
    """For the application's log."""


Beginning = Callable[[Transaction, Deps, Operation, App], Awaitable[Begun]]


class Base(msgspec.Struct, frozen=True):
    """What the next release is based on."""

    release: Release
    build: Build | None
    config: Config


async def base(tx: Transaction, deps: Deps, app: App) -> Base:
    """The newest successful release with its build and configuration (v1 always succeeded)."""
    release = await store.newest_successful(tx, app.uuid)
    if release is None:
        raise Refused(400, "No release to build on")
    return Base(
        release,
        await store.build(tx, release.build),
        await store.config(tx, deps.keyring, release.config),
    )


async def begin_config(tx: Transaction, deps: Deps, op: Operation, app: App) -> Begun:
    """A changed configuration makes a release (api.md 8.1)."""
    last = await base(tx, deps, app)
    patch = msgspec.convert(op.input["patch"], dict[str, dict[str, object]])
    merged = merge(last.config, patch, deps.settings.config_bytes)
    merged = with_tags(merged, deps.settings.deploy.tags)
    if all(getattr(merged, group) == getattr(last.config, group) for group in patch):
        raise Refused(409, f"{op.caller} changed nothing - release stopped")
    config = await store.insert_config(
        tx, deps.keyring, msgspec.structs.replace(merged, app=app.uuid), op.caller_id
    )
    release = await _release(tx, deps, op, app, last, last.build, config)
    told = changes(last.config.values, config.values)
    await _announce(
        tx,
        op,
        app,
        ConfigChanged(
            version=release.version,
            added=list(told.added),
            changed=list(told.changed),
            deleted=list(told.deleted),
        ),
    )
    body = presenters.config(config, app.id)
    return await _deploy(tx, deps, app, release, last, last.build, config, status=201, body=body)


async def begin_build(tx: Transaction, deps: Deps, op: Operation, app: App) -> Begun:
    """A build, from a push or by image name, makes a release (api.md 7)."""
    last = await base(tx, deps, app)
    build = await _build(tx, op, app, last)
    release = await _release(tx, deps, op, app, last, build, last.config)
    hooked = bool(op.input.get("hook"))
    body = {"release": {"version": release.version}} if hooked else presenters.build(build, app.id)
    return await _deploy(
        tx, deps, app, release, last, build, last.config, status=200 if hooked else 201, body=body
    )


async def begin_rollback(tx: Transaction, deps: Deps, op: Operation, app: App) -> Begun:
    """Build and configuration of an earlier release become the next one (api.md 9)."""
    last = await base(tx, deps, app)
    target = await rollback_to(tx, deps, app, last.release, op)
    config = await store.config(tx, deps.keyring, target.config)
    build = await store.build(tx, target.build)
    text = f"{op.caller} rolled back to v{target.version}"
    release = await _insert(tx, op, app, text, config, build)
    body = {"version": release.version}
    return await _deploy(tx, deps, app, release, last, build, config, status=201, body=body)


async def rollback_to(
    tx: Transaction, deps: Deps, app: App, newest: Release, op: Operation
) -> Release:
    """The release a rollback asks for; raises Refused 400 where it cannot be one."""
    wanted = op.input.get("version")
    number = newest.version - 1 if wanted is None else wanted
    found = await store.release(tx, app.uuid, number) if isinstance(number, int) else None
    return await _target(tx, deps, rollback_target(wanted, newest.version, found), app)


async def begin_scale(tx: Transaction, deps: Deps, op: Operation, app: App) -> Begun:
    """Other counts of the present release's process types (api.md 10.1)."""
    last = await base(tx, deps, app)
    asked = msgspec.convert(op.input["counts"], dict[str, object])
    counts = merge_scale(asked, app.structure, last.build, deps.settings.instances)
    if counts == app.structure:
        return Begun(status=204)
    await _want(tx, app, structure=counts, version=app.wanted_version or last.release.version)
    await _announce(tx, op, app, AppScaled(counts=counts))
    seconds = specs.rollout_seconds(deps.settings.deploy, last.config, counts) + MARGIN_SECONDS
    told = " ".join(f"{name}={counts[name]}" for name in asked)
    line = f"{op.caller} scaled pods {told}"
    return Begun(status=204, drive="scale", seconds=seconds, line=line)


async def begin_restart(tx: Transaction, deps: Deps, op: Operation, app: App) -> Begun:
    """Instances are replaced by the runtime (api.md 10.3)."""
    event = AppRestarted(
        process_type=str(op.input.get("type", "")), instance=str(op.input.get("instance", ""))
    )
    await _announce(tx, op, app, event)
    return Begun(status=200, drive="restart", seconds=300.0 + MARGIN_SECONDS)


async def begin_destroy(tx: Transaction, deps: Deps, op: Operation, app: App) -> Begun:
    """The app's rows go with everything that hangs on them; the runtime follows."""
    await _announce(tx, op, app, AppDestroyed(owner=app.owner))
    await tx.execute("DELETE FROM releases WHERE app = $1::uuid", app.uuid)
    await tx.execute("DELETE FROM apps WHERE uuid = $1::uuid", app.uuid)
    return Begun(status=204, drive="destroy", seconds=MARGIN_SECONDS)


BEGINNINGS: dict[str, Beginning] = {
    "config": begin_config,
    "build": begin_build,
    "rollback": begin_rollback,
    "scale": begin_scale,
    "restart": begin_restart,
    "destroy": begin_destroy,
}


async def _target(tx: Transaction, deps: Deps, version: int, app: App) -> Release:
    found = await store.release(tx, app.uuid, version)
    if found is None:
        raise Refused(400, "Release matching query does not exist.")
    build = await store.build(tx, found.build)
    kept = deps.settings.slugs_kept
    if build and build.sha and build.image not in await store.kept_slugs(tx, app.uuid, kept):
        raise Refused(400, f"The slug of v{version} is no longer kept (the last {kept} are).")
    return found


async def _build(tx: Transaction, op: Operation, app: App, last: Base) -> Build:
    given = msgspec.convert(op.input.get("procfile") or {}, dict[str, str])
    procfile, _ = procfile_policy(last.build.procfile if last.build else {}, given)
    made = op.input.get("build")
    if made:
        found = await store.build(tx, str(made))
        if found is None:
            raise Refused(400, "The build is gone")
        return found
    return await store.insert_build(
        tx,
        app=app.uuid,
        owner_id=op.caller_id,
        image=str(op.input["image"]),
        sha=str(op.input.get("sha") or ""),
        procfile=procfile,
        dockerfile=str(op.input.get("dockerfile") or ""),
    )


async def _release(
    tx: Transaction,
    deps: Deps,
    op: Operation,
    app: App,
    last: Base,
    build: Build | None,
    config: Config,
) -> Release:
    text = summary((last.build, last.config), build, config, app.owner, last.release.version + 1)
    return await _insert(tx, op, app, text, config, build)


async def _insert(
    tx: Transaction, op: Operation, app: App, text: str, config: Config, build: Build | None
) -> Release:
    release = await store.insert_release(
        tx,
        app=app.uuid,
        owner_id=op.caller_id,
        summary=text,
        config=config.uuid,
        build=build.uuid if build else None,
        state="deploying" if build else "succeeded",
    )
    event = ReleaseCreated(
        version=release.version,
        summary=release.summary,
        build=release.build or "",
        config=release.config,
        operation=op.id,
    )
    await _announce(tx, op, app, event)
    return release


async def _deploy(
    tx: Transaction,
    deps: Deps,
    app: App,
    release: Release,
    last: Base,
    build: Build | None,
    config: Config,
    *,
    status: int,
    body: object,
) -> Begun:
    begun = Begun(status=status, body=body, version=release.version, line=release.summary)
    if build is None:
        return begun
    counts = counts_for_deploy(app.structure, last.build, build)
    await _want(tx, app, structure=counts, version=release.version, procfile=build.procfile)
    seconds = specs.rollout_seconds(deps.settings.deploy, config, counts) + MARGIN_SECONDS
    return msgspec.structs.replace(begun, drive="deploy", seconds=seconds)


async def _want(
    tx: Transaction,
    app: App,
    *,
    structure: dict[str, int],
    version: int,
    procfile: dict[str, str] | None = None,
) -> None:
    await tx.execute(
        """UPDATE apps SET structure = $2::jsonb, wanted_version = $3, generation = generation + 1,
                  procfile_structure = coalesce($4::jsonb, procfile_structure), updated = now()
           WHERE uuid = $1::uuid""",
        app.uuid,
        store.dump(structure),
        version,
        store.dump(procfile) if procfile else None,
    )


async def _announce(tx: Transaction, op: Operation, app: App, event: Event) -> None:
    await announce(
        tx,
        app=app.id,
        appuuid=app.uuid,
        event=event,
        actor=op.caller,
        traceparent=op.traceparent,
        causation=op.id,
    )
