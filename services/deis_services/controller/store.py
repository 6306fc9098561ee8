"""Rows of apps, configs, builds and releases to values and back; every function takes a transaction."""

from typing import Any

import msgspec

from deis_platform.crypto import Keyring
from deis_platform.database import Transaction
from deis_services.controller.model import App, Build, Config, Release
from deis_services.controller.sealed import seal, unseal

APP = """SELECT a.*, u.username AS owner FROM apps a JOIN users u ON u.id = a.owner_id"""
BUILD = """SELECT b.*, u.username AS owner FROM builds b JOIN users u ON u.id = b.owner_id"""
CONFIG = """SELECT c.*, u.username AS owner FROM configs c JOIN users u ON u.id = c.owner_id"""
RELEASE = """SELECT r.*, u.username AS owner FROM releases r JOIN users u ON u.id = r.owner_id"""
_PLAIN = (
    "memory",
    "cpu",
    "tags",
    "healthcheck",
    "lifecycle_post_start",
    "lifecycle_pre_stop",
    "termination_grace_period",
)


def _json(text: str) -> Any:
    return msgspec.json.decode(text)


def dump(value: object) -> str:
    """JSON text for a jsonb parameter."""
    return msgspec.json.encode(value).decode()


def app_of(row: Any) -> App:
    """An App of a row of `APP`."""
    return App(
        uuid=str(row["uuid"]),
        id=row["id"],
        owner_id=row["owner_id"],
        owner=row["owner"],
        structure=_json(row["structure"]),
        procfile_structure=_json(row["procfile_structure"]),
        wanted_version=row["wanted_version"],
        generation=row["generation"],
        created=row["created"],
        updated=row["updated"],
    )


def build_of(row: Any) -> Build:
    """A Build of a row of `BUILD`."""
    return Build(
        uuid=str(row["uuid"]),
        app=str(row["app"]),
        owner=row["owner"],
        image=row["image"],
        sha=row["sha"],
        procfile=_json(row["procfile"]),
        dockerfile=row["dockerfile"],
        created=row["created"],
        updated=row["updated"],
    )


def release_of(row: Any) -> Release:
    """A Release of a row of `RELEASE`."""
    return Release(
        uuid=str(row["uuid"]),
        app=str(row["app"]),
        owner=row["owner"],
        version=row["version"],
        summary=row["summary"],
        state=row["state"],
        exception=row["exception"],
        config=str(row["config"]),
        build=str(row["build"]) if row["build"] else None,
        stages=_json(row["stages"]),
        created=row["created"],
        updated=row["updated"],
    )


def config_of(keyring: Keyring, row: Any) -> Config:
    """A Config of a row of `CONFIG`, opened."""
    registry = row["registry_sealed"]
    return Config(
        uuid=str(row["uuid"]),
        app=str(row["app"]),
        owner=row["owner"],
        values=unseal(keyring, row["values_sealed"], dict[str, str]),
        registry=unseal(keyring, registry, dict[str, str]) if registry else {},
        created=row["created"],
        updated=row["updated"],
        **{name: _json(row[name]) for name in _PLAIN},
    )


async def app_by_id(tx: Transaction, app_id: str) -> App | None:
    """The application of that name."""
    row = await tx.fetchrow(f"{APP} WHERE a.id = $1", app_id)
    return app_of(row) if row else None


async def app_by_uuid(tx: Transaction, uuid: str) -> App | None:
    """The application of that identity."""
    row = await tx.fetchrow(f"{APP} WHERE a.uuid = $1::uuid", uuid)
    return app_of(row) if row else None


async def lock_app(tx: Transaction, uuid: str) -> App | None:
    """The application, its row held to the end of the transaction.

    Whoever writes for an app holds its row; that keeps its events and numbers in order.
    """
    row = await tx.fetchrow(f"{APP} WHERE a.uuid = $1::uuid FOR UPDATE OF a", uuid)
    return app_of(row) if row else None


async def newest_successful(tx: Transaction, app: str) -> Release | None:
    """The release others are based on: the highest version that succeeded (DESIGN 5)."""
    row = await tx.fetchrow(
        f"{RELEASE} WHERE r.app = $1::uuid AND r.state = 'succeeded' ORDER BY r.version DESC LIMIT 1",
        app,
    )
    return release_of(row) if row else None


async def release(tx: Transaction, app: str, version: int) -> Release | None:
    """One release by its number."""
    row = await tx.fetchrow(f"{RELEASE} WHERE r.app = $1::uuid AND r.version = $2", app, version)
    return release_of(row) if row else None


async def config(tx: Transaction, keyring: Keyring, uuid: str) -> Config:
    """One configuration; it exists as long as a release names it."""
    row = await tx.fetchrow(f"{CONFIG} WHERE c.uuid = $1::uuid", uuid)
    if row is None:
        raise LookupError(f"no config {uuid}")
    return config_of(keyring, row)


async def build(tx: Transaction, uuid: str | None) -> Build | None:
    """One build; None for None, as a release before its first build has it."""
    if uuid is None:
        return None
    row = await tx.fetchrow(f"{BUILD} WHERE b.uuid = $1::uuid", uuid)
    return build_of(row) if row else None


async def kept_slugs(tx: Transaction, app: str, builds: int) -> set[str]:
    """Object keys of the slugs a rollback may go back to, those of that many builds of the newest
    successful releases, and of all that runs or is queued (DESIGN 9)."""
    rows = await tx.fetch(
        """SELECT image FROM builds b WHERE app = $1::uuid AND sha <> '' AND (
               uuid IN (SELECT build FROM releases WHERE app = $1::uuid AND state = 'succeeded'
                        AND build IN (SELECT uuid FROM builds WHERE app = $1::uuid AND sha <> '')
                        GROUP BY build ORDER BY max(version) DESC LIMIT $2)
               OR uuid IN (SELECT build FROM releases WHERE app = $1::uuid
                           AND state IN ('pending', 'deploying'))
               OR uuid IN (SELECT r.build FROM releases r JOIN apps a ON a.uuid = r.app
                           WHERE r.app = $1::uuid AND r.version = a.wanted_version)
               OR uuid IN (SELECT push FROM operations WHERE app = $1::uuid
                           AND state IN ('queued', 'running')))""",
        app,
        builds,
    )
    return {row["image"] for row in rows}


async def insert_config(tx: Transaction, keyring: Keyring, value: Config, owner_id: int) -> Config:
    """Store a configuration for `value.app`; gives it back with identity and times."""
    columns = ", ".join(_PLAIN)
    uuid = await tx.fetchval(
        f"""INSERT INTO configs (app, owner_id, values_sealed, registry_sealed, {columns})
            VALUES ($1::uuid, $2, $3, $4, {", ".join(f"${n + 5}::jsonb" for n in range(len(_PLAIN)))})
            RETURNING uuid::text""",  # noqa: S608 - column names of this module
        value.app,
        owner_id,
        seal(keyring, value.values),
        seal(keyring, value.registry) if value.registry else None,
        *(dump(getattr(value, name)) for name in _PLAIN),
    )
    return await config(tx, keyring, uuid)


async def insert_build(
    tx: Transaction,
    *,
    app: str,
    owner_id: int,
    image: str,
    sha: str = "",
    procfile: dict[str, str] | None = None,
    dockerfile: str = "",
    uuid: str | None = None,
) -> Build:
    """Store a build; `uuid` is the push's where there was one."""
    new = await tx.fetchval(
        """INSERT INTO builds (uuid, app, owner_id, image, sha, procfile, dockerfile)
           VALUES (coalesce($1::uuid, gen_random_uuid()), $2::uuid, $3, $4, $5, $6::jsonb, $7)
           RETURNING uuid::text""",
        uuid,
        app,
        owner_id,
        image,
        sha,
        dump(procfile or {}),
        dockerfile,
    )
    made = await build(tx, new)
    if made is None:
        raise LookupError(f"no build {new}")
    return made


async def insert_release(
    tx: Transaction,
    *,
    app: str,
    owner_id: int,
    summary: str,
    config: str,
    build: str | None,
    state: str,
) -> Release:
    """Store the next release: its number is the highest there ever was, plus one (api.md 23.1).

    The caller holds the app's row, so the number is its own.
    """
    version = await tx.fetchval(
        """INSERT INTO releases (app, owner_id, version, summary, config, build, state)
           VALUES ($1::uuid, $2, (SELECT coalesce(max(version), 0) + 1 FROM releases
                                  WHERE app = $1::uuid), $3, $4::uuid, $5::uuid, $6)
           RETURNING version""",
        app,
        owner_id,
        summary,
        config,
        build,
        state,
    )
    made = await release(tx, app, version)
    if made is None:
        raise LookupError(f"no release v{version}")
    return made
