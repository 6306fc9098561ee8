"""How long the router waits and how large a head it takes, as annotations say, seen on the wire."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from deis_platform.embedded.ports import free_port
from deis_services.router.annotations import PREFIX, app_settings, builder_settings
from deis_services.router.model import BUILDER_KEY
from integration.router_pods import pod, route, say, tune, up
from integration.router_rig import GIVE_UP_SECONDS, Rig, pods_plan, running

pytestmark = pytest.mark.server


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A router with an empty table."""
    async with running(pods_plan(tmp_path / "router")) as rig:
        yield rig


@contextlib.contextmanager
def deaf(host: str) -> Iterator[str]:
    """An address whose queue of connections is full: what comes then is neither taken nor refused."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind((host, 0))
        listening.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield f"{host}:{listening.getsockname()[1]}"


async def test_how_long_one_application_is_waited_for_at_connecting(tmp_path: Path) -> None:
    planned = pods_plan(tmp_path / "router", connect_ms=600_000)
    settings, problems = app_settings({f"{PREFIX}connectTimeout": "100ms"})
    assert problems == []
    async with running(planned) as rig, asyncio.timeout(GIVE_UP_SECONDS):
        with deaf("127.9.9.8") as address:
            await say(rig, "app.deaf", route("deaf", profile=settings.profile))
            await rig.put(up("deaf", address))
            assert (await rig.get("deaf.localhost"))[0] == 504
            assert (await rig.get("deaf.localhost", method="POST", data=b"x"))[0] == 504


async def test_how_large_the_head_of_an_answer_may_be(rig: Rig) -> None:
    async def large(_: web.Request) -> web.StreamResponse:
        return web.Response(headers={f"X-{number}": "x" * 5000 for number in range(4)})

    async with pod("large", large) as one, pod("other", large) as two:
        await rig.put(route("large"), up("large", one), route("other"), up("other", two))
        assert (await rig.get("large.localhost"))[0] == 502
        settings, problems = app_settings({f"{PREFIX}nginx.proxyBuffers.size": "32k"})
        assert problems == []
        await say(rig, "app.large", route("large", profile=settings.profile))
        assert (await rig.get("large.localhost"))[0] == 200
        assert (await rig.get("other.localhost"))[0] == 502
        await tune(rig, proxyBuffers_size="32k")
        assert (await rig.get("other.localhost"))[0] == 200


@pytest.mark.parametrize("limit", ["connectTimeout", "tcpTimeout"])
async def test_a_builder_that_says_nothing_is_given_up(tmp_path: Path, limit: str) -> None:
    git = free_port()
    gone = asyncio.Event()

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    async with (
        running(pods_plan(tmp_path / "router", git=f"127.0.0.1:{git}")) as rig,
        await asyncio.start_server(silent, "127.9.9.7", 0) as server,
        asyncio.timeout(GIVE_UP_SECONDS),
    ):
        with deaf("127.9.9.7") as unheard:
            host, port = server.sockets[0].getsockname()
            address = unheard if limit == "connectTimeout" else f"{host}:{port}"
            said = {f"{PREFIX}nginx.{limit}": "100ms"}
            builder, problems = builder_settings(said, address)
            assert problems == []
            await say(rig, BUILDER_KEY, builder)
            reader, writer = await asyncio.open_connection("127.0.0.1", git)
            assert await reader.read() == b""
            writer.close()
        gone.set()
