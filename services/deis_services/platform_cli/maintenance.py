"""`deis-platform migrate` and `deis-platform events rebuild`."""

import argparse

from deis_platform import events
from deis_platform.database import open_database
from deis_services.platform_cli import schema
from deis_services.platform_cli.reach import Reach
from deis_services.platform_cli.screen import say


async def migrate(found: Reach, _: argparse.Namespace) -> int:
    """Bring the database's schema up to date."""
    count = await schema.migrate_database(found.database())
    say(f"{count} migration{'' if count == 1 else 's'} applied." if count else "Up to date.")
    return 0


async def rebuild(found: Reach, _: argparse.Namespace) -> int:
    """Have every event of the table published again; what EVENTS holds twice has one id."""
    async with open_database(found.database()) as database:
        count = await events.rebuild(database)
    say(f"{count} events are published again, in order, by the controller.")
    return 0
