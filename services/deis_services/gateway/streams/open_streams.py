"""The streams that are open: their limit, what they work with, and how they end."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Iterator

from deis_bus.contracts.http import ApiCall
from deis_bus.errors import Refused, Transient
from deis_bus.ports import Bus
from deis_platform.races import first
from deis_services.gateway.answers import away
from deis_services.gateway.calls import Calls
from deis_services.gateway.detached import Detached
from deis_services.gateway.rights import Rights

SHARE = 4
"""Nobody may have more than this part of all streams, so that others find room."""


class Cut(ConnectionError):
    """The stream ends before what it shows does: a client must not take that for the end.

    It comes again, and is told then why it may not.
    """


class Streams:
    """The parts that a stream works with, and the limit of open ones; a part: ends them at stop."""

    name = "streams"

    def __init__(self, bus: Bus, calls: Calls, rights: Rights, limit: int) -> None:
        self.bus = bus
        self.calls = calls
        self.rights = rights
        self.detached = Detached()
        self.limit = limit
        self.open = 0
        """How many are open now."""
        self._held: Counter[str] = Counter()
        """Of them, by token."""
        self._ending = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Wait to be stopped; open streams then end at once, and a client comes again."""
        await stop.wait()
        self._ending.set()

    @contextlib.contextmanager
    def room(self, call: ApiCall) -> Iterator[None]:
        """A place for a stream; raises Problem 503 when all are taken, or the caller's share is."""
        share = max(1, self.limit // SHARE)
        if self.open >= self.limit or self._held[call.token] >= share:
            raise away("Too many streams are open, please try again later.")
        self.open += 1
        self._held[call.token] += 1
        try:
            yield
        finally:
            self.open -= 1
            self._held[call.token] -= 1
            self._held += Counter()  # keeps who still has some

    async def stopping(self) -> None:
        """Return when the gateway stops."""
        await self._ending.wait()

    async def identity(self, call: ApiCall) -> str:
        """Of the application, for `revoked`, asked for before its stream is: so the name's next
        owner is noticed. Empty where nobody says; the question for the stream tells why."""
        try:
            return (await self.rights.check(call.token, call.endpoint, call.path["app"])).appuuid
        except (Refused, Transient):
            return ""

    async def revoked(self, call: ApiCall, app: str = "", appuuid: str = "") -> None:
        """Return when the caller may no longer do this."""
        await self.rights.until_revoked(call.token, call.endpoint, app, appuuid)

    async def whole(self, work: Awaitable[None], revoked: Awaitable[None]) -> None:
        """Do the work to its end; raises Cut when the right or the gateway ends before it."""
        if await first(work, revoked, self.stopping()):
            raise Cut("the right was revoked, or the gateway stops")
