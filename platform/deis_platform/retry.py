"""Pauses between attempts: growing, with jitter and a ceiling."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from deis_bus.errors import Transient

T = TypeVar("T")


def delays(
    first: float = 0.1, *, ceiling: float = 5.0, factor: float = 2.0, jitter: float = 0.25
) -> Iterator[float]:
    """Endless pauses in seconds: `first`, then `factor` times more, up to `ceiling`.

    Each is shortened by up to `jitter` of itself, so that many who failed at once do not come
    back at once.
    """
    pause = first
    while True:
        yield pause * (1 - jitter * random.random())  # noqa: S311 - spreads load, hides nothing
        pause = min(pause * factor, ceiling)


async def retry(
    call: Callable[[], Awaitable[T]],
    *,
    seconds: float,
    faults: tuple[type[Exception], ...] = (Transient,),
    pauses: Iterator[float] | None = None,
) -> T:
    """What `call` gives, asked again on `faults` until `seconds` are over; then the last fault."""
    clock = asyncio.get_running_loop()
    deadline = clock.time() + seconds
    for pause in pauses or delays():
        try:
            return await call()
        except faults:
            if clock.time() + pause > deadline:
                raise
        await asyncio.sleep(pause)
    raise ValueError("pauses ended before the time was over")
