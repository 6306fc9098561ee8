"""Rights are checked now: a revoked one ends the streams that were open by it (DESIGN 9)."""

import asyncio
import contextlib

from deis_bus import rpc, subjects
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
from deis_services.gateway.listen import listen

AGAIN_SECONDS = 15.0
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
                group.create_task(self._listen(f"deis.event.*.{event.TYPE}", stop))

    async def _listen(self, subject: str, stop: asyncio.Event) -> None:
        async for _ in listen(self._bus, subject, stop):
            self._news.set()
            self._news = asyncio.Event()

    async def news(self) -> None:
        """Wait until somebody's rights changed, or long enough to look anyway."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), self._again)

    async def check(self, token: str, action: str, app: str = "") -> AccessAnswer:
        """May they? Raises Refused or Transient."""
        question = AccessCheck(token=token, action=action, app=app)
        return await rpc.call(self._bus, ACCESS_CHECK, question, seconds=10.0)

    async def visible(self, token: str) -> VisibleAnswer:
        """Which applications they see. Raises Refused or Transient."""
        return await rpc.call(self._bus, VISIBLE, Visible(token), seconds=10.0)

    async def until_revoked(self, token: str, action: str, app: str, appuuid: str = "") -> None:
        """Return when they may no longer, or the application is gone or another one.

        While nobody can say, the stream stays: an outage revokes nothing.
        """
        while True:
            # Taken before the question: news that come while it is asked count as well.
            news = self._news
            try:
                now = await self.check(token, action, app)
            except Refused:
                return
            except Transient:
                await asyncio.sleep(1.0)
                continue
            appuuid = appuuid or now.appuuid
            if now.appuuid != appuuid:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), self._again)


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


def subject_of(app: str, kind: str) -> str:
    """Events of an application, of a type, of both, or all; empty stands for any."""
    if kind:
        return subjects.event(app, kind) if app else f"deis.event.*.{kind}"
    return f"deis.event.{app}.>" if app else subjects.EVENTS
