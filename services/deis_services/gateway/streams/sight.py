"""Which applications a caller sees, kept up to date while a stream of events is open."""

import asyncio
import contextlib

from deis_bus.errors import Refused, Transient
from deis_bus.events import apps
from deis_bus.subjects import PLATFORM
from deis_services.gateway.answers import Problem, problem
from deis_services.gateway.rights import AWAY_SECONDS, Rights

LAST_SECONDS = 5.0
"""How long the last events of the one application that was asked for may take after its end."""
MAX_DENIED = 10_000
_REVEALING = (apps.ShareGranted.TYPE, apps.AppUpdated.TYPE)
"""Events that may make an application visible."""
NO_APP = "No App matches the given query."


class Sight:
    """What `token` sees; of application `app` only, where one is named."""

    def __init__(self, rights: Rights, token: str, app: str) -> None:
        self._rights = rights
        self._token = token
        self._app = app
        self._admin = False
        self._seen: dict[str, str] = {}
        """Names by identity."""
        self._ended: set[str] = set()
        """Destroyed while they were seen: what is told of them last is still the caller's."""
        self._only = ""
        self._denied: set[str] = set()
        self._news = rights.next_news()

    async def look(self) -> None:
        """Ask anew. Raises Problem when nothing may be seen (any more), Transient."""
        self._news = self._rights.next_news()
        try:
            now = await self._rights.visible(self._token)
        except Refused as fault:
            raise problem(fault.code, fault.detail) from fault
        seen = {app.appuuid: app.app for app in now.apps}
        for appuuid in self._seen.keys() - seen.keys():
            if await self._destroyed(appuuid, self._seen[appuuid]):
                self._ended.add(appuuid)
        self._admin, self._seen = now.admin, seen
        if self._app:
            self._look_at_one()

    def _look_at_one(self) -> None:
        found = next((uuid for uuid, name in self._seen.items() if name == self._app), "")
        if self._only in self._ended:
            return
        if not found or self._only not in ("", found):
            raise Problem(404, NO_APP)
        self._only = found

    async def _destroyed(self, appuuid: str, app: str) -> bool:
        """Whether it is gone, and not only out of sight; its name may be another's by now."""
        try:
            now = await self._rights.check(self._token, "apps.read", app)
        except Refused as fault:
            return fault.code == 404
        return now.appuuid != appuuid

    async def keep(self) -> None:
        """Return when the right to look is gone; an outage revokes nothing."""
        while True:
            await self._rights.news(self._news)
            self._denied.clear()
            try:
                await self._look_until_told()
            except Problem:
                return
            if self._only in self._ended:
                await asyncio.sleep(LAST_SECONDS)
                return

    async def _look_until_told(self) -> None:
        """Look, however long nobody can say. Raises Problem."""
        while True:
            with contextlib.suppress(Transient):
                return await self.look()
            await asyncio.sleep(AWAY_SECONDS)

    async def shows(self, app: str, appuuid: str, kind: str) -> bool:
        """Whether an event of this identity and type is the caller's; waits for who knows."""
        if self._only:
            return appuuid == self._only
        if self._admin:
            return True
        if app == PLATFORM or not appuuid:
            return False
        if appuuid not in self._seen and (kind in _REVEALING or appuuid not in self._denied):
            await self._meet(appuuid)
        return appuuid in self._seen or appuuid in self._ended

    async def _meet(self, appuuid: str) -> None:
        """An application that is not known yet: it may just have been made, or shared."""
        try:
            await self._look_until_told()
        except Problem:
            return
        if appuuid not in self._seen and len(self._denied) < MAX_DENIED:
            self._denied.add(appuuid)
