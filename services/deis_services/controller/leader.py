"""Which replica leads: the one that holds an advisory lock on a connection of its own (DESIGN 3)."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from deis_bus.errors import Transient
from deis_platform.database import Database, Dedicated
from deis_platform.events import CHANNEL
from deis_platform.logs import get_logger
from deis_platform.retry import delays
from deis_platform.runner import wait_for_stop

log = get_logger(__name__)

LOCK = "deis controller leader"
STAND_BY_SECONDS = 0.5
"""How often a replica that does not lead asks for the lock."""


class Term(Protocol):
    """What is done while leading."""

    def heard(self, appuuid: str) -> None:
        """Something about an application was committed, by whatever replica."""

    async def run(self, stop: asyncio.Event) -> None:
        """Lead until `stop` is set; cancelled where the lock is lost."""


class Nudges:
    """Tells the present term of an application to look at; nothing on a replica that stands by."""

    def __init__(self) -> None:
        self.term: Term | None = None

    def __call__(self, appuuid: str) -> None:
        """Look at that application soon."""
        if self.term is not None:
            self.term.heard(appuuid)


class Leader:
    """A part: stands by, then leads term after term, each with a fresh `Term`."""

    name = "leader"

    def __init__(self, db: Database, nudges: Nudges, begin: Callable[[], Term]) -> None:
        self.terms = 0
        """How often this replica has led, for metrics and tests."""
        self._db = db
        self._nudges = nudges
        self._begin = begin

    @property
    def leads(self) -> bool:
        """Whether this replica leads now."""
        return self._nudges.term is not None

    async def run(self, stop: asyncio.Event) -> None:
        """Stand by or lead until stopped; survives any absence of the database."""
        pauses = delays(ceiling=1.0)
        while not stop.is_set():
            try:
                async with self._db.dedicated() as line:
                    while not (stop.is_set() or line.lost.is_set()):
                        if await line.try_lock(LOCK):
                            pauses = delays(ceiling=1.0)
                            await self._lead(line, stop)
                            break
                        await wait_for_stop(stop, STAND_BY_SECONDS)
            except Transient as fault:
                pause = next(pauses)
                log.warning("nobody leads from here", fault=str(fault), again_in=round(pause, 2))
                await wait_for_stop(stop, pause)

    async def _lead(self, line: Dedicated, stop: asyncio.Event) -> None:
        term = self._begin()
        await line.listen(CHANNEL, term.heard)
        self.terms += 1
        self._nudges.term = term
        log.info("leading", term=self.terms)
        try:
            await _while_held(line, term, stop)
        finally:
            self._nudges.term = None
            log.info("no longer leading", term=self.terms, lost=line.lost.is_set())


async def _while_held(line: Dedicated, term: Term, stop: asyncio.Event) -> None:
    """Run the term; where the connection is lost first, cancel it and wait for its end."""
    working = asyncio.create_task(term.run(stop), name="term")
    lost = asyncio.create_task(line.lost.wait(), name="leader's connection")
    try:
        await asyncio.wait({working, lost}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        # Nobody here tries for the lock again before the work has ended: two leaders never meet.
        ended = working.done()
        lost.cancel()
        working.cancel()
        await asyncio.wait({working})
    if ended:
        working.result()
