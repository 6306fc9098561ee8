"""`deis-platform migrate`, and the same at every start of `up`."""

from deis_platform.database import open_database
from deis_platform.embedded.errors import ServerFailed
from deis_platform.groups import DatabaseSettings
from deis_platform.migrations import SchemaError
from deis_platform.migrations import migrate as apply
from deis_platform.settings import load
from deis_services.platform_cli.plan import Servers, database_environment

OWNER = "deis_services.controller"
"""Only the controller has tables."""


async def migrate(servers: Servers) -> int:
    """Bring the database up to date; how many migrations that took. Raises ServerFailed."""
    return await migrate_database(load(DatabaseSettings, database_environment(servers)))


async def migrate_database(settings: DatabaseSettings) -> int:
    """The same for any database."""
    try:
        async with open_database(settings) as database:
            return await apply(database, OWNER)
    except SchemaError as fault:
        raise ServerFailed(str(fault)) from None
