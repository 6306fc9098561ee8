"""Numbered SQL files, applied once each, in order, by one process at a time.

A package has them in its folder `sql`: `0001_spine.sql`, `0002_….sql`. They only ever add
(DESIGN 9, Upgrades): what is no longer needed goes one release later.
"""

import hashlib
import re
from importlib import resources

import msgspec

from deis_bus.errors import Transient
from deis_platform.database import Database, Dedicated
from deis_platform.logs import get_logger
from deis_platform.retry import delays, retry

log = get_logger(__name__)

LOCK = "deis migrations"
LOCK_SECONDS = 60.0
_FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_TABLE = """CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    digest text NOT NULL,
    applied timestamptz NOT NULL DEFAULT now()
)"""


class SchemaError(Exception):
    """The database's schema and this program do not go together; fit for the operator."""


class _Busy(Transient):
    """Another process migrates the database."""


class Migration(msgspec.Struct, frozen=True):
    """One file."""

    version: int
    name: str
    sql: str

    @property
    def digest(self) -> str:
        """Changes when the file was edited after it had been applied."""
        return hashlib.sha256(self.sql.encode()).hexdigest()[:16]


def found(package: str) -> list[Migration]:
    """The migrations of a package, in order. Raises SchemaError for gaps or wrong names."""
    files = sorted((resources.files(package) / "sql").iterdir(), key=lambda file: file.name)
    migrations: list[Migration] = []
    for file in files:
        if not file.name.endswith(".sql"):
            continue
        match = _FILE.fullmatch(file.name)
        if match is None or int(match[1]) != len(migrations) + 1:
            raise SchemaError(f"{file.name} is not the next migration of {package}")
        migrations.append(Migration(int(match[1]), file.name, file.read_text(encoding="utf-8")))
    return migrations


async def migrate(database: Database, package: str) -> int:
    """Bring the schema up to what `package` knows; gives how many migrations that took.

    Raises SchemaError when the schema is newer or was made by other files, Transient when the
    database is away or somebody else migrates for a minute.
    """
    wanted = found(package)
    async with database.dedicated(seconds=0) as line:
        pauses = delays(0.05, ceiling=0.5)
        await retry(lambda: _lock(line), seconds=LOCK_SECONDS, faults=(_Busy,), pauses=pauses)
        await line.execute(_TABLE)
        done = await line.fetch("SELECT version, digest FROM schema_migrations ORDER BY version")
        check(wanted, {row["version"]: row["digest"] for row in done})
        for migration in wanted[len(done) :]:
            await _apply(line, migration)
    return len(wanted) - len(done)


def check(wanted: list[Migration], applied: dict[int, str]) -> None:
    """Raises SchemaError unless what was applied is a beginning of what is wanted."""
    newest = max(applied, default=0)
    if newest > len(wanted):
        raise SchemaError(
            f"the database has schema {newest}, this program knows only {len(wanted)}: "
            "it was used by a newer version; install that one, or restore a backup"
        )
    for migration in wanted[:newest]:
        if applied.get(migration.version) != migration.digest:
            raise SchemaError(
                f"{migration.name} is not the file that was applied to this database: "
                "it was made by another version of the program"
            )


async def _lock(line: Dedicated) -> None:
    if not await line.try_lock(LOCK):
        raise _Busy("another process migrates the database")


async def _apply(line: Dedicated, migration: Migration) -> None:
    # Several statements in one call are one transaction; so is the row that says it is done.
    values = f"{migration.version}, '{migration.name}', '{migration.digest}'"
    row = f"INSERT INTO schema_migrations (version, name, digest) VALUES ({values})"  # noqa: S608
    await line.execute(f"BEGIN;\n{migration.sql}\n;{row};\nCOMMIT;")
    log.info("schema migrated", version=migration.version, name=migration.name)
