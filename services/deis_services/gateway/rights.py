"""Rights are checked now: a revoked one ends the streams that were open by it (DESIGN 9)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TypeVar

import msgspec

from deis_bus import rpc
from deis_bus.contracts.access import (
    ACCESS_CHECK,
    VISIBLE,
    AccessAnswer,
    AccessCheck,
    Visible,
    VisibleAnswer,
)
from deis_bus.errors import Refused, Transient
from deis_bus.events import apps
from deis_bus.ports import Bus
from deis_services.gateway.listen import listen, losses, subject_of

Q = TypeVar("Q", bound=msgspec.Struct)
A = TypeVar("A")
AGAIN_SECONDS = 15.0
ASK_SECONDS = 10.0
AWAY_SECONDS = 1.0
_NEWS = (
    apps.ShareGranted,
    apps.ShareRevoked,
    apps.AppUpdated,
    apps.AppDestroyed,
    apps.UserCancelled,
    apps.TokenRegenerated,
    apps.AdminGranted,
    apps.AdminRevoked,
)


class Rights:
    """Asks the controller who may; a part: news of rights make open streams ask again."""

    name = "rights"

    def __init__(self, bus: Bus, again: float = AGAIN_SECONDS) -> None:
        self._bus = bus
        self._again = again
        self._news = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Listen for what changes rights until stopped."""
        async with asyncio.TaskGroup() as group:
            for event in _NEWS:
                group.create_task(self._tell(listen(self._bus, subject_of("", event.TYPE), stop)))
            group.create_task(self._tell(losses(self._bus, stop)))

    async def _tell(self, source: AsyncIterator[object]) -> None:
        async for _ in source:
            self._news.set()
            self._news = asyncio.Event()

    def next_news(self) -> asyncio.Event:
        """Set by the next news. Taken before a question, news while it is asked count as well."""
        return self._news

    async def news(self, news: asyncio.Event) -> None:
        """Wait for news that `next_news` gave, or long enough to look anyway."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._again):
                await news.wait()

    async def check(self, token: str, action: str, app: str = "") -> AccessAnswer:
        """May they? Raises Refused 401, 403 or 404, or Transient while nobody can say."""
        question = AccessCheck(token=token, action=action, app=app)
        return await self._ask(ACCESS_CHECK, question)

    async def visible(self, token: str) -> VisibleAnswer:
        """Which applications they see. Raises Refused 401, or Transient."""
        return await self._ask(VISIBLE, Visible(token))

    async def _ask(self, method: rpc.Method[Q, A], question: Q) -> A:
        try:
            return await rpc.call(self._bus, method, question, seconds=ASK_SECONDS)
        except Refused as fault:
            if fault.code >= 500:  # no verdict: a bug, or too late
                raise Transient(fault.detail) from fault
            raise

    async def until_revoked(self, token: str, action: str, app: str, appuuid: str = "") -> None:
        """Return when they may no longer, or the application is gone or another one.

        While nobody can say, the stream stays: an outage revokes nothing.
        """
        while True:
            news = self._news
            try:
                now = await self.check(token, action, app)
            except Refused:
                return
            except Transient:
                await asyncio.sleep(AWAY_SECONDS)
                continue
            appuuid = appuuid or now.appuuid
            if now.appuuid != appuuid:
                return
            await self.news(news)


READY = AccessCheck(token="", action="root.read")
"""Asks nothing, and is refused by a controller that reached its database."""


async def controller_ready(bus: Bus) -> bool:
    """Whether a controller answers, its database included."""
    try:
        await rpc.call(bus, ACCESS_CHECK, READY, seconds=2.0)
    except Refused as fault:
        return fault.code < 500
    except Transient:
        return False
    return True
