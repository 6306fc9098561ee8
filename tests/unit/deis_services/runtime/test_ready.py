"""When an instance counts as ready, against real sockets."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from deis_bus.contracts.runtime import Probe
from deis_platform.embedded.ports import free_port
from deis_services.runtime import ready
from deis_services.runtime.ready import connects, until_ready, until_unready
from tests.behaviour.bus import PATIENCE, until


@pytest.fixture
def port() -> int:
    """A port that nobody has."""
    return free_port()


class Health:
    """A health check that answers what it is told."""

    def __init__(self) -> None:
        self.status = 500
        self.asked: list[str] = []

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request.rel_url.path_qs)
        if self.status == 302:
            return web.Response(status=302, headers={"Location": "/elsewhere"})
        return web.Response(status=self.status)


@pytest.fixture
async def health(port: int) -> AsyncIterator[Health]:
    health = Health()
    runner = web.ServerRunner(web.Server(health.answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield health
    await runner.cleanup()


async def said(said: list[str], words: str) -> None:
    """Wait until somebody said so."""
    await until(lambda: any(words in one for one in said))


async def test_what_takes_requests_is_ready_when_it_listens(port: int) -> None:
    heard: list[str] = []
    waiting = asyncio.create_task(until_ready(port, None, True, heard.append))
    await said(heard, f"nothing listens on its PORT ({port})")
    assert not waiting.done()
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
    async with asyncio.timeout(PATIENCE):
        await waiting
    server.close()
    await server.wait_closed()
    assert not await connects(port)


async def test_what_takes_none_is_ready_when_it_has_settled(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ready, "SETTLE_SECONDS", 0.01)
    async with asyncio.timeout(PATIENCE):
        await until_ready(port, None, False, print)


@pytest.mark.parametrize("good", [200, 204, 302])
async def test_a_health_check_decides(port: int, health: Health, good: int) -> None:
    heard: list[str] = []
    probe = Probe(path="/health?deep=1", period_seconds=0.01, initial_delay_seconds=0.01)
    waiting = asyncio.create_task(until_ready(port, probe, True, heard.append))
    await said(heard, "its health check GET /health?deep=1 answered 500")
    health.status = good
    async with asyncio.timeout(PATIENCE):
        await waiting
    assert set(health.asked) == {"/health?deep=1"}


async def test_a_health_check_that_fails_often_enough_takes_readiness_away(
    port: int, health: Health
) -> None:
    heard: list[str] = []
    probe = Probe(path="/health", period_seconds=0.01, failure_threshold=3)
    health.status = 200
    waiting = asyncio.create_task(until_unready(port, probe, heard.append))
    await until(lambda: len(health.asked) >= 2)
    assert not waiting.done()
    assert heard == []
    health.status = 503
    async with asyncio.timeout(PATIENCE):
        await waiting
    assert heard == ["its health check GET /health answered 503"] * 3


async def test_a_health_check_without_an_answer_is_asked_again(port: int) -> None:
    heard: list[str] = []
    over = asyncio.Event()

    async def listen(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()
        await writer.wait_closed()

    silent = await asyncio.start_server(listen, "127.0.0.1", port)
    probe = Probe(path="/", period_seconds=0.01, timeout_seconds=0.05)
    waiting = asyncio.create_task(until_ready(port, probe, True, heard.append))
    await said(heard, "did not answer in time")
    over.set()
    silent.close()
    await said(heard, "got no answer")
    waiting.cancel()
    await asyncio.wait({waiting})


async def test_a_probe_without_a_path_is_a_connection(port: int, health: Health) -> None:
    async with asyncio.timeout(PATIENCE):
        await until_ready(port, Probe(), False, print)
    assert health.asked == []
