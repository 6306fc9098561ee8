"""`deis-platform dead list|retry|drop`: messages that nobody could handle (DESIGN 4, Delivery)."""

import argparse
from collections.abc import Awaitable, Callable

import msgspec

from deis_bus import dead
from deis_bus.letters import Letter
from deis_bus.ports import Bus
from deis_services.platform_cli.commands import show
from deis_services.platform_cli.reach import Reach, operator_bus
from deis_services.platform_cli.screen import complain, say
from deis_services.platform_cli.tables import table

HEAD = ("NUMBER", "BURIED", "BY", "APP", "EVENT", "TRIES", "REASON")


async def listed(found: Reach, asked: argparse.Namespace) -> int:
    """`dead list`."""
    async with operator_bus(found) as bus:
        letters = await everything(bus)
    rows = [row(letter) for letter in letters]
    text = table(HEAD, rows) if rows else "There are no dead letters."
    show(asked, [msgspec.to_builtins(letter) for letter in letters], text)
    return 0


async def retry(found: Reach, asked: argparse.Namespace) -> int:
    """`dead retry SEQ…` and `dead retry --all`."""
    async with operator_bus(found) as bus:

        async def again(number: int) -> bool:
            return await dead.retry(bus, number) is not None

        return await _each(bus, asked, again, "published again")


async def drop(found: Reach, asked: argparse.Namespace) -> int:
    """`dead drop SEQ…` and `dead drop --all`."""
    async with operator_bus(found) as bus:

        async def forget(number: int) -> bool:
            return await dead.forget(bus, number)

        return await _each(bus, asked, forget, "deleted")


async def everything(bus: Bus) -> list[Letter]:
    """All dead letters, oldest first; DEAD holds a bounded number of bytes. Raises Transient."""
    if not await dead.count(bus):
        return []
    letters: list[Letter] = []
    while page := await dead.listed(bus, start=letters[-1].sequence + 1 if letters else 1):
        letters += page
        if len(page) < dead.PAGE:
            break
    return letters


def row(letter: Letter) -> tuple[str, ...]:
    """A line of the table."""
    return (
        str(letter.sequence),
        letter.time.partition(".")[0],
        letter.durable,
        letter.app or "-",
        letter.type or letter.subject,
        str(letter.attempt),
        letter.reason,
    )


async def _each(
    bus: Bus, asked: argparse.Namespace, act: Callable[[int], Awaitable[bool]], done: str
) -> int:
    """Do it for the letters asked for; those there were at the start, for one may die again."""
    numbers = [letter.sequence for letter in await everything(bus)] if asked.all else asked.numbers
    missing = [number for number in numbers if not await act(number)]
    for number in missing:
        complain(f"there is no dead letter {number}")
    count = len(numbers) - len(missing)
    say(f"{count} dead letter{'' if count == 1 else 's'} {done}.")
    return 1 if missing and not asked.all else 0
