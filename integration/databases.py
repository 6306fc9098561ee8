"""A database of its own for each test, cloned from a template on one server per session."""

import itertools

import asyncpg

from deis_platform.database import open_database
from deis_platform.groups import DatabaseSettings
from deis_platform.migrations import migrate
from integration.servers import RunningPostgres

_numbers = itertools.count()
_templates: dict[tuple[str, str], str] = {}


def settings_of(running: RunningPostgres, name: str = "postgres") -> DatabaseSettings:
    """How services reach a database of this server."""
    url = running.url.replace("/postgres?", f"/{name}?")
    return DatabaseSettings(url=url, password_file=str(running.password_file), connections=5)


async def fresh_database(running: RunningPostgres, package: str = "") -> DatabaseSettings:
    """A new database with the schema of `package` (none: empty); migrated once, then cloned."""
    if not package:
        return await _create(running, f"empty{next(_numbers)}", "template0")
    key = running.url, package
    if key not in _templates:
        name = f"schema{next(_numbers)}"
        async with open_database(await _create(running, name, "template0")) as database:
            await migrate(database, package)
        _templates[key] = name
    return await _create(running, f"test{next(_numbers)}", _templates[key])


async def _create(running: RunningPostgres, name: str, template: str) -> DatabaseSettings:
    await admin(running, f"CREATE DATABASE {name} TEMPLATE {template}")
    return settings_of(running, name)


async def admin(running: RunningPostgres, query: str) -> object:
    """A statement on the server's first database, past our own code."""
    connection = await asyncpg.connect(
        running.url, password=running.password_file.read_text().strip(), ssl=False
    )
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()
