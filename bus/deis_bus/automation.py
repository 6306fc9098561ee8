"""Automations: programs outside that work off events through a consumer of their own.

`deis-platform automation add NAME [--app A]` makes a user (users.py) and a durable pull consumer
that gives only what the automation may see. One for an app begins at the app's creation and ends
with the app: it is bound to the identity, so who takes the name later inherits nothing.
"""

import re

import msgspec

from deis_bus import cursors, subjects
from deis_bus.errors import Permanent
from deis_bus.events.apps import AppCreated
from deis_bus.ports import Bus, Received
from deis_bus.streams import EVENTS, Durable
from deis_bus.users import automation_rights, consumer, inbox

NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
PAGE = 1000
ACK_SECONDS = 60.0
IN_FLIGHT = 256


class Automation(msgspec.Struct, frozen=True, kw_only=True):
    """An automation as it is kept: `app` and `appuuid` are empty for one that sees everything."""

    name: str
    app: str = ""
    appuuid: str = ""


class BadName(ValueError):
    """Not a name for an automation."""


def automation_user(name: str, app: str = "", appuuid: str = "") -> Automation:
    """A new automation. Raises BadName, or ValueError for an app without its identity."""
    if not NAME.fullmatch(name):
        raise BadName("a name is 1 to 40 of a-z, 0-9 and -, and begins with a letter")
    if bool(app) != bool(appuuid):
        raise ValueError("an app is named together with its identity")
    return Automation(name=name, app=app, appuuid=appuuid)


def durable(automation: Automation, start: int = 0) -> Durable:
    """Its consumer: everything, or its app's events, from sequence `start` on."""
    pattern = f"deis.event.{automation.app}.>" if automation.app else subjects.EVENTS
    return Durable(
        name=consumer(automation.name),
        stream=EVENTS.name,
        filters=(pattern,),
        ack_wait_seconds=ACK_SECONDS,
        max_in_flight=IN_FLIGHT,
        start=start,
    )


def ended(automation: Automation, alive: frozenset[str]) -> bool:
    """Whether its app is gone; `alive` are the identities of the apps there are."""
    return bool(automation.appuuid) and automation.appuuid not in alive


def to_grant(automation: Automation) -> str:
    """What an outside NATS must be told by hand: the rights of the user, one a line."""
    user = consumer(automation.name)
    allowed = automation_rights(automation.name)
    lines = [f"user {user}, inbox prefix {inbox(user)}"]
    lines += [f"  may publish to   {subject}" for subject in allowed.publish]
    lines += [f"  may subscribe to {subject}" for subject in allowed.subscribe]
    return "\n".join(lines)


async def add(bus: Bus, automation: Automation, since: str = cursors.NOW) -> cursors.Cursor:
    """Make its consumer; gives the cursor it begins behind.

    Raises BadCursor or Gone for `since`, Permanent when there is such a consumer already.
    """
    durable_name = consumer(automation.name)
    if durable_name in await bus.durables(EVENTS.name):
        raise Permanent(f"there is an automation {automation.name} already")
    return await _make(bus, automation, since)


async def rewind(bus: Bus, automation: Automation, since: str) -> cursors.Cursor:
    """Let it begin again behind `since`; what it had not acked is forgotten. Raises as `add`."""
    await _start(bus, automation, since)
    await bus.forget(EVENTS.name, consumer(automation.name))
    return await _make(bus, automation, since)


async def remove(bus: Bus, name: str) -> bool:
    """Delete its consumer; False when there was none."""
    return await bus.forget(EVENTS.name, consumer(name))


async def _make(bus: Bus, automation: Automation, since: str) -> cursors.Cursor:
    begin = await _start(bus, automation, since)
    await bus.inbox(durable(automation, begin))
    return cursors.Cursor(await bus.stream_epoch(EVENTS.name), begin - 1)


async def _start(bus: Bus, automation: Automation, since: str) -> int:
    epoch = await bus.stream_epoch(EVENTS.name)
    begin = cursors.start(since, epoch, await bus.stream_bounds(EVENTS.name))
    if automation.app:
        return max(begin, await _created(bus, automation))
    return begin


async def _created(bus: Bus, automation: Automation) -> int:
    """The first event that may be seen: the app's creation, or what is left behind it.

    Events of an earlier owner of the name lie before it.
    """
    created = subjects.event(automation.app, AppCreated.TYPE)
    found = await bus.read(EVENTS.name, (created,), limit=PAGE)
    foreign = 0
    for message in found:
        if _appuuid(message) == automation.appuuid:
            return message.sequence
        foreign = message.sequence
    return foreign + 1


def _appuuid(message: Received) -> str:
    return message.headers.get("ce-appuuid", "")
