"""Alive, ready and metrics over HTTP, for probes and Prometheus."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from deis_bus.errors import Transient
from deis_platform.groups import HealthSettings
from deis_platform.metrics import Metrics
from deis_platform.webapp import WebServer, application

Check = Callable[[], Awaitable[bool]]
CHECK_SECONDS = 2.0


class HealthServer(WebServer):
    """A part: `/healthz` answers while the loop turns, `/readiness` when every check holds.

    A service whose dependency is away is alive and not ready: killing it would not help.
    """

    def __init__(
        self, settings: HealthSettings, metrics: Metrics, checks: Mapping[str, Check] | None = None
    ) -> None:
        self._metrics = metrics
        self._checks = dict(checks or {})
        app = application(access_log=False)
        app.router.add_get("/healthz", self._alive)
        app.router.add_get("/readiness", self._ready)
        app.router.add_get("/metrics", self._numbers)
        super().__init__("health", app, settings.address)

    async def _alive(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _ready(self, _request: web.Request) -> web.Response:
        answers = await asyncio.gather(*map(_holds, self._checks.values()))
        missing = [name for name, good in zip(self._checks, answers, strict=True) if not good]
        body = {"status": "not ready" if missing else "ready", "missing": missing}
        return web.json_response(body, status=503 if missing else 200)

    async def _numbers(self, _request: web.Request) -> web.Response:
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=self._metrics.text(), headers=headers)


async def _holds(check: Check) -> bool:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check()
    except (TimeoutError, Transient):
        return False
