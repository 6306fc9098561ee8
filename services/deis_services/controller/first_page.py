"""The first page of an application: asked for before its first deploy counts as done (api.md 24.6).

A router on Kubernetes learns of an application from the API server, as the controller does, and
tells nobody when it has: somebody who opens the page at once could come before that. Each question
is a connection of its own, so several routers behind one address are asked; what answers so many
times in a row is known to all of them, most likely.
"""

import asyncio

from deis_bus.routes import AppRoute
from deis_platform.logs import get_logger
from deis_services.controller.model import App
from deis_services.controller.specs import routable_type

log = get_logger(__name__)

IN_A_ROW = 4
PAUSE_SECONDS = 0.1
ATTEMPT_SECONDS = 3.0
LONGEST_SECONDS = 8.0
NOT_YET = (404, 503)
"""The router's answers for a name it does not know, and for one without instances."""
NO_DOMAIN = "deis.invalid"
"""A router without a domain takes a name before any."""


class FirstPage:
    """Asks the router at `url` (nobody, where that is empty) for applications of `domain`."""

    def __init__(self, url: str, domain: str, longest: float = LONGEST_SECONDS) -> None:
        self._url = url
        self._domain = domain or NO_DOMAIN
        self._longest = longest

    async def seen(self, app: App, route: AppRoute) -> bool:
        """Wait until the router leads to it, for a few seconds at most; whether it does. That it
        does not is logged and nothing more: the application runs, whoever may reach it."""
        host = self._host(route)
        if not self._url or not host or not app.structure.get(routable_type(app.structure)):
            return True
        last = ""
        try:
            async with asyncio.timeout(self._longest):
                answers = 0
                while answers < IN_A_ROW:
                    last = await self._ask(host)
                    answers = 0 if last else answers + 1
                    if last:
                        await asyncio.sleep(PAUSE_SECONDS)
        except TimeoutError:
            log.warning("no page of a first deploy was seen yet", host=host, last=last)
            return False
        return True

    def _host(self, route: AppRoute) -> str:
        """A name that it is reached by; empty where there is none."""
        if not route.routable or not route.hosts:
            return ""
        name = route.hosts[0].replace("*", "any")
        return name if "." in name else f"{name}.{self._domain}"

    async def _ask(self, host: str) -> str:
        """What is wrong with the answer; empty for one of the application's own."""
        import aiohttp  # a controller beside the local runtime never asks

        limit = aiohttp.ClientTimeout(total=ATTEMPT_SECONDS)
        headers = {"Host": host, "User-Agent": "deis-controller"}
        try:
            async with (
                aiohttp.ClientSession(timeout=limit) as session,
                session.get(self._url, headers=headers, allow_redirects=False) as answer,
            ):
                return f"HTTP {answer.status}" if answer.status in NOT_YET else ""
        except (aiohttp.ClientError, OSError, TimeoutError) as fault:
            return str(fault) or type(fault).__name__
