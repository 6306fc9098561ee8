"""`deis-platform automation add|list|rewind|remove` (DESIGN 4, Rights).

`add` makes the consumer and then its user: cut off, it leaves at most a consumer that nobody can
reach, which the next `add` makes anew. `remove` goes the same way, and can be typed again.
"""

import argparse
import re
import secrets
import sys

import msgspec

from deis_bus import automation, users
from deis_bus.automation import Automation
from deis_bus.contracts.apps import APP_FIND, AppFind
from deis_bus.cursors import NOW
from deis_bus.errors import Refused, Transient
from deis_bus.ports import Bus
from deis_bus.rpc import call
from deis_bus.streams import EVENTS
from deis_platform.embedded.errors import ServerFailed
from deis_platform.retry import delays, retry
from deis_services.platform_cli import bus_users
from deis_services.platform_cli.automations import Book, Kept
from deis_services.platform_cli.commands import show
from deis_services.platform_cli.reach import Reach, operator_bus
from deis_services.platform_cli.screen import say
from deis_services.platform_cli.tables import table

RELOAD_SECONDS = 10.0
PASSWORD_BYTES = 24


async def add(found: Reach, asked: argparse.Namespace) -> int:
    """`automation add NAME [--app A] [--since CURSOR]`: its user, its consumer, what it needs."""
    book = _book(found)
    automation.automation_user(asked.name)  # a wrong name is refused before anything is asked
    if asked.name in book.read():
        raise ServerFailed(f"there is an automation {asked.name} already")
    async with operator_bus(found) as bus:
        appuuid = await _identity(bus, asked.app) if asked.app else ""
        made = automation.automation_user(asked.name, asked.app, appuuid)
        await automation.remove(bus, asked.name)  # of an `add` that was cut off
        await automation.add(bus, made, asked.since or NOW)
    password = secrets.token_urlsafe(PASSWORD_BYTES) if found.embedded_nats else ""
    kept = Kept(name=made.name, app=made.app, appuuid=made.appuuid, password=password)
    with book.changed() as entries:
        entries[made.name] = kept
    if found.embedded_nats:
        await bus_users.reload(found.data)
        await _can_log_in(found, kept)
    else:
        tell_rights(made)
    values = needed(found.bus().url, kept)
    show(asked, values, "\n".join(f"{name}={value}" for name, value in values.items()))
    return 0


async def listed(found: Reach, asked: argparse.Namespace) -> int:
    """`automation list`."""
    async with operator_bus(found) as bus:
        consumers = set(await bus.durables(EVENTS.name))
    known = _book(found).read().values()
    rows = [(kept.name, kept.app or "(every app)", _state(kept, consumers)) for kept in known]
    text = table(("NAME", "APP", "STATE"), rows) if rows else "There are no automations."
    data = [msgspec.structs.asdict(kept.automation()) for kept in known]
    show(asked, data, text)
    return 0


async def rewind(found: Reach, asked: argparse.Namespace) -> int:
    """`automation rewind NAME --since beginning|now|CURSOR`."""
    kept = _kept(found, asked.name)
    async with operator_bus(found) as bus:
        cursor = await automation.rewind(bus, kept.automation(), asked.since)
    say(f"{asked.name} begins again behind {cursor}.")
    return 0


async def remove(found: Reach, asked: argparse.Namespace) -> int:
    """`automation remove NAME`."""
    kept = _kept(found, asked.name)
    async with operator_bus(found) as bus:
        await end(found, bus, [kept])
    say(f"{asked.name} is removed.")
    return 0


async def end(found: Reach, bus: Bus, gone: list[Kept]) -> None:
    """Remove consumers, then users: what is cut off here is found in the book and ended again."""
    for kept in gone:
        await automation.remove(bus, kept.name)
    with _book(found).changed() as entries:
        for kept in gone:
            if entries.get(kept.name) == kept:
                del entries[kept.name]
    if found.embedded_nats:
        await bus_users.reload(found.data)


def needed(url: str, kept: Kept) -> dict[str, str]:
    """What a program needs to work off its events (docs/examples/subscriber.py)."""
    user = users.consumer(kept.name)
    return {
        "NATS_URL": re.sub(r"//[^/]*@", "//", url),
        "NATS_USER": user,
        "NATS_PASSWORD": kept.password,
        "NATS_INBOX": users.inbox(user),
        "NATS_DURABLE": user,
    }


def tell_rights(made: Automation) -> None:
    """With an outside NATS: what its administrator has to grant. Beside the output, not in it."""
    rights = automation.to_grant(made)
    sys.stderr.write(f"Your NATS has its users elsewhere. Make this one there:\n{rights}\n")


def _book(found: Reach) -> Book:
    if not (found.data / "secrets").is_dir():
        raise ServerFailed(f"{found.data} is no platform's data folder: name one with --data")
    return Book(found.data)


def _kept(found: Reach, name: str) -> Kept:
    kept = _book(found).read().get(name)
    if kept is None:
        raise ServerFailed(
            f"there is no automation {name}: see `{found.command('automation', 'list')}`"
        )
    return kept


def _state(kept: Kept, consumers: set[str]) -> str:
    return "active" if users.consumer(kept.name) in consumers else "without consumer: rewind it"


async def _identity(bus: Bus, app: str) -> str:
    try:
        return (await call(bus, APP_FIND, AppFind(app))).appuuid
    except Refused as fault:
        raise ServerFailed(fault.detail) from fault


async def _can_log_in(found: Reach, kept: Kept) -> None:
    """Wait until the server has read its users again."""
    values = needed(found.bus().url, kept)

    async def try_once() -> None:
        if not await bus_users.lets_in(
            values["NATS_URL"], values["NATS_USER"], values["NATS_PASSWORD"]
        ):
            raise Transient("NATS does not know the new user yet: is it running?")

    await retry(try_once, seconds=RELOAD_SECONDS, pauses=delays(0.05, ceiling=0.5))
