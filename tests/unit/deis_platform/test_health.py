"""Alive, ready and metrics over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from deis_bus.errors import Transient
from deis_platform import health
from deis_platform.groups import HealthSettings
from deis_platform.health import Check, HealthServer
from deis_platform.metrics import Metrics
from deis_platform.settings import Address


async def good() -> bool:
    return True


async def bad() -> bool:
    return False


async def away() -> bool:
    raise Transient("away")


async def hung() -> bool:
    await asyncio.Event().wait()
    return True


@asynccontextmanager
async def served(checks: Mapping[str, Check] | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    stop = asyncio.Event()
    metrics = Metrics("test")
    metrics.counter("things_total", "things").inc(3)
    server = HealthServer(HealthSettings(address=Address("127.0.0.1", 0)), metrics, checks)
    task = asyncio.create_task(server.run(stop))
    await server.serving.wait()
    try:
        async with aiohttp.ClientSession(f"http://{server.address}") as http:
            yield http
    finally:
        stop.set()
        await task


async def get(http: aiohttp.ClientSession, path: str) -> tuple[int, Any]:
    async with http.get(path) as answer:
        return answer.status, await answer.json()


async def test_ready_when_every_check_holds() -> None:
    async with served({"bus": good, "database": good}) as http:
        assert await get(http, "/readiness") == (200, {"status": "ready", "missing": []})
    async with served() as http:
        assert (await get(http, "/readiness"))[0] == 200


async def test_alive_but_not_ready_while_something_is_away(monkeypatch: Any) -> None:
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.05)
    async with served({"bus": good, "a": bad, "b": away, "c": hung}) as http:
        assert await get(http, "/readiness") == (
            503,
            {"status": "not ready", "missing": ["a", "b", "c"]},
        )
        assert await get(http, "/healthz") == (200, {"status": "alive"})


async def test_metrics() -> None:
    async with served() as http, http.get("/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert "deis_things_total 3.0" in await answer.text()
