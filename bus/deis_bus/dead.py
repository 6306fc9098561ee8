"""Dead letters: list them and bring them back (`deis-platform dead list|retry`)."""

from deis_bus.clock import new_id
from deis_bus.letters import MESSAGE_ID, Letter, letter, original_headers
from deis_bus.ports import Bus
from deis_bus.streams import DEAD

PAGE = 1000


async def listed(bus: Bus, start: int = 1, limit: int = PAGE) -> list[Letter]:
    """Dead letters, oldest first, from number `start` on."""
    return [letter(message) for message in await bus.read(DEAD.name, start=start, limit=limit)]


async def count(bus: Bus) -> int:
    """How many there are, at most; deleted ones in the middle are counted too."""
    first, last = await bus.stream_bounds(DEAD.name)
    return max(0, last - first + 1)


async def retry(bus: Bus, sequence: int) -> Letter | None:
    """Publish a letter again where it came from, then delete it; None when there is none.

    Headers are the original ones, with a new message id, or the stream would take it for the
    first one. Published before it is deleted: a crash between doubles it and loses nothing.
    """
    found = await bus.read(DEAD.name, start=sequence, limit=1)
    if not found or found[0].sequence != sequence:
        return None
    message = found[0]
    told = letter(message)
    headers = original_headers(message.headers) | {MESSAGE_ID: new_id()}
    await bus.store(told.subject, message.data, headers)
    await bus.remove(DEAD.name, sequence)
    return told


async def forget(bus: Bus, sequence: int) -> bool:
    """Delete a letter; False when there is none."""
    return await bus.remove(DEAD.name, sequence)
