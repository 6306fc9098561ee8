"""`deis-platform automation add|list|rewind|remove` (DESIGN 4, Rights).

`add` makes the consumer and then its user: cut off, it leaves at most a consumer that nobody can
reach, which the next `add` makes anew. `remove` goes the same way, and can be typed again.
"""

import argparse
import functools
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
from deis_services.platform_cli.automations import Entries, Kept, Register
from deis_services.platform_cli.commands import show
from deis_services.platform_cli.reach import Reach, operator_bus, patiently
from deis_services.platform_cli.registers import register
from deis_services.platform_cli.screen import say
from deis_services.platform_cli.tables import table

RELOAD_SECONDS = 25.0
LOOK_SECONDS = 5.0
PASSWORD_BYTES = 24


async def add(found: Reach, asked: argparse.Namespace) -> int:
    """`automation add NAME [--app A] [--since CURSOR]`: its user, its consumer, what it needs."""
    automation.automation_user(asked.name)  # a wrong name is refused before anything is asked
    async with register(found) as kept_in:
        if asked.name in await kept_in.read():
            raise _taken(asked.name)
        made = await _consumer(found, asked)
        password = secrets.token_urlsafe(PASSWORD_BYTES) if found.writes_users else ""
        kept = Kept(name=made.name, app=made.app, appuuid=made.appuuid, password=password)
        await kept_in.change(lambda entries: _enter(entries, kept))
        if found.writes_users:
            await _taken_in(found, kept_in, kept, there=True)
        else:
            tell_rights(made)
    values = needed(found.bus().url, kept)
    show(asked, values, "\n".join(f"{name}={value}" for name, value in values.items()))
    return 0


async def listed(found: Reach, asked: argparse.Namespace) -> int:
    """`automation list`."""
    async with operator_bus(found) as bus:
        consumers = set(await patiently(lambda: bus.durables(EVENTS.name)))
    async with register(found) as kept_in:
        known = (await kept_in.read()).values()
    rows = [(kept.name, kept.app or "(every app)", _state(kept, consumers)) for kept in known]
    text = table(("NAME", "APP", "STATE"), rows) if rows else "There are no automations."
    data = [msgspec.structs.asdict(kept.automation()) for kept in known]
    show(asked, data, text)
    return 0


async def rewind(found: Reach, asked: argparse.Namespace) -> int:
    """`automation rewind NAME --since beginning|now|CURSOR`."""
    async with register(found) as kept_in:
        kept = await _kept(found, kept_in, asked.name)
    async with operator_bus(found) as bus:
        cursor = await patiently(lambda: automation.rewind(bus, kept.automation(), asked.since))
    say(f"{asked.name} begins again behind {cursor}.")
    return 0


async def remove(found: Reach, asked: argparse.Namespace) -> int:
    """`automation remove NAME`."""
    async with register(found) as kept_in:
        kept = await _kept(found, kept_in, asked.name)
        async with operator_bus(found) as bus:
            await end(found, bus, kept_in, [kept])
    say(f"{asked.name} is removed.")
    return 0


async def end(found: Reach, bus: Bus, kept_in: Register, gone: list[Kept]) -> None:
    """Remove consumers, then users: what is cut off here is kept still, and ended again."""
    for kept in gone:
        await patiently(functools.partial(automation.remove, bus, kept.name))

    def strike(entries: Entries) -> None:
        for kept in gone:
            if entries.get(kept.name) == kept:
                del entries[kept.name]

    await kept_in.change(strike)
    if found.writes_users:
        for kept in gone:
            await _taken_in(found, kept_in, kept, there=False)


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


async def _consumer(found: Reach, asked: argparse.Namespace) -> Automation:
    """Make it; gives whose it is."""
    async with operator_bus(found) as bus:
        appuuid = await _identity(bus, asked.app) if asked.app else ""
        made = automation.automation_user(asked.name, asked.app, appuuid)

        async def anew() -> None:
            await automation.remove(bus, asked.name)  # of an `add` that was cut off
            await automation.add(bus, made, asked.since or NOW)

        await patiently(anew)
    return made


def _enter(entries: Entries, kept: Kept) -> None:
    if kept.name in entries:
        raise _taken(kept.name)
    entries[kept.name] = kept


def _taken(name: str) -> ServerFailed:
    return ServerFailed(f"there is an automation {name} already")


async def _kept(found: Reach, kept_in: Register, name: str) -> Kept:
    kept = (await kept_in.read()).get(name)
    if kept is None:
        raise ServerFailed(
            f"there is no automation {name}: see `{found.command('automation', 'list')}`"
        )
    return kept


def _state(kept: Kept, consumers: set[str]) -> str:
    return "active" if users.consumer(kept.name) in consumers else "without consumer: rewind it"


async def _identity(bus: Bus, app: str) -> str:
    try:
        return (await patiently(lambda: call(bus, APP_FIND, AppFind(app)))).appuuid
    except Refused as fault:
        raise ServerFailed(fault.detail) from fault


async def _taken_in(found: Reach, kept_in: Register, kept: Kept, *, there: bool) -> None:
    """Have the server read its users, and wait until this one is `there` or not. It is told more
    than once: a kubelet may look before it has heard of the change. Raises Transient."""
    place, values = found.bus(), needed(found.bus().url, kept)
    login = (values["NATS_URL"], values["NATS_USER"], kept.password, place.ca_file)

    async def look() -> None:
        if await bus_users.lets_in(*login) is not there:
            word = "does not know the new user yet" if there else "knows the user still"
            raise Transient(f"NATS {word}: is it running?")

    async def tell_and_look() -> None:
        await kept_in.tell()
        await retry(look, seconds=LOOK_SECONDS, pauses=delays(0.05, ceiling=0.5))

    await retry(tell_and_look, seconds=RELOAD_SECONDS, pauses=delays(0.05, ceiling=0.05))
