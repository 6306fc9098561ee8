"""The gateway while NATS is absent, killed or hung: 503 in between, and back by itself (DESIGN 9)."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest

from deis_bus.contracts.http import ApiAnswer, OperationState
from deis_bus.jetstream import JetStreamBus, connect
from deis_bus.streams import BUCKETS, EVENTS, STREAMS
from deis_platform.embedded.ports import free_port
from deis_platform.settings import load
from deis_services.gateway.service import serve
from deis_services.gateway.settings import Settings
from integration.servers import RunningNats, nats_server, until
from tests.behaviour.gateway_rig import LOCAL, TOKEN, Controller, Running, gateway, json
from tests.behaviour.gateway_streaming import BLOG, Reader

pytestmark = pytest.mark.server

HEADERS = {"Authorization": f"token {TOKEN}"}
OPERATION = str(uuid4())


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningNats]:
    async with nats_server(tmp_path) as running:
        yield running


@pytest.fixture
async def other(server: RunningNats) -> AsyncIterator[JetStreamBus]:
    async with connect(server.url, "controller") as bus:
        await bus.ensure(STREAMS, BUCKETS)
        yield bus


@pytest.fixture
async def controller(other: JetStreamBus) -> AsyncIterator[Controller]:
    controller = Controller(other)
    controller.visible = {"blog": BLOG}
    async with controller.serving():
        yield controller


@pytest.fixture
async def running(
    server: RunningNats, controller: Controller, tmp_path: Path
) -> AsyncIterator[Running]:
    async with (
        connect(server.url, "gateway") as bus,
        gateway(bus, tmp_path, DEIS_REQUEST_SECONDS="1") as running,
    ):
        yield running


async def kill(server: RunningNats, running: Running) -> None:
    """As the kernel does it, until the gateway has noticed; its supervisor starts it again."""
    counts = running.parts.streams.bus.counts
    seen = counts.disconnects
    os.kill(server.server.pid, signal.SIGKILL)
    await until(lambda: counts.disconnects > seen, "the loss")


async def status(running: Running, path: str = "/v2/apps") -> int:
    """Of a request; 503 must say when to come again."""
    async with running.ask("GET", path) as answer:
        assert answer.status != 503 or answer.headers["Retry-After"]
        return int(answer.status)


async def answers(running: Running, wanted: int = 200, path: str = "/v2/apps") -> bool:
    return await status(running, path) == wanted


async def test_a_killed_bus(running: Running, server: RunningNats) -> None:
    assert await status(running) == 200
    await kill(server, running)
    assert await status(running) in (200, 503), "it may be back already"
    assert await status(running, "/healthz") == 200
    await until(lambda: answers(running), "the answer")
    await until(lambda: answers(running, path="/readiness"), "readiness")


async def test_a_hung_bus(running: Running, server: RunningNats) -> None:
    os.kill(server.server.pid, signal.SIGSTOP)
    try:
        assert await status(running) == 503
        assert await status(running, "/readiness") == 503
        assert await status(running, "/healthz") == 200
    finally:
        os.kill(server.server.pid, signal.SIGCONT)
    await until(lambda: answers(running), "the answer")


async def test_a_waiting_request_learns_the_end_of_its_operation(
    running: Running, controller: Controller, server: RunningNats
) -> None:
    controller.answers["config.set"] = ApiAnswer(status=202, operation=OPERATION, app="blog")
    controller.operations[OPERATION] = OperationState(operation=OPERATION, state="running")

    async def post() -> int:
        async with running.ask("POST", "/v2/apps/blog/config", json={"values": {}}) as answer:
            return int(answer.status)

    task = asyncio.create_task(post())
    await until(lambda: controller.reads == 1, "the first look")
    await kill(server, running)
    # Nobody tells of this end.
    controller.operations[OPERATION] = OperationState(
        operation=OPERATION, state="succeeded", answer=json(201, {})
    )
    assert await asyncio.wait_for(task, 30) == 201


async def test_a_stream_of_events_goes_on(
    running: Running, controller: Controller, server: RunningNats
) -> None:
    async with running.ask("GET", "/v2/events?since=beginning") as answer:
        reader = Reader(answer)
        await controller.announce("blog", "release.created", {"version": 1})
        assert (await reader.event())["data"] == {"version": 1}
        await kill(server, running)
        await until(controller.bus.ready, "the bus")
        await controller.announce("blog", "release.created", {"version": 2})
        assert (await reader.event())["data"] == {"version": 2}


async def test_a_stream_that_was_made_anew_ends_and_its_cursors_are_gone(
    running: Running, controller: Controller, other: JetStreamBus
) -> None:
    async with running.ask("GET", "/v2/events?since=beginning") as answer:
        reader = Reader(answer)
        await controller.announce("blog", "release.created")
        cursor = (await reader.event())["cursor"]
        await other.request(f"$JS.API.STREAM.DELETE.{EVENTS.name}", b"", {}, 5.0)
        await until(lambda: _made(other), "the stream")
        await controller.announce("blog", "release.created")
        with pytest.raises(aiohttp.ClientError):
            await answer.content.read()
    async with running.ask("GET", f"/v2/events?since={cursor}") as answer:
        assert answer.status == 410


async def _made(bus: JetStreamBus) -> bool:
    await bus.ensure(STREAMS, BUCKETS)
    return await bus.stream_bounds(EVENTS.name) == (1, 0)


async def test_the_service_starts_before_the_bus(server: RunningNats, tmp_path: Path) -> None:
    """`serve` as `deis-platform` calls it, with the server hung until it has started."""
    address = f"127.0.0.1:{free_port()}"
    environ = {
        "DEIS_NATS_URL": server.url,
        "DEIS_GATEWAY_ADDRESS": address,
        "DEIS_OBJECTS_URL": f"file://{tmp_path}/objects",
        "DEIS_SECRET_FILE": str(tmp_path / "master.key"),
        "DEIS_REQUEST_SECONDS": "1",
    }
    os.kill(server.server.pid, signal.SIGSTOP)
    stop = asyncio.Event()
    task = asyncio.create_task(serve(load(Settings, LOCAL | environ), stop))
    try:
        async with aiohttp.ClientSession() as http:

            async def gives(path: str, wanted: int) -> bool:
                try:
                    async with http.get(f"http://{address}{path}", headers=HEADERS) as answer:
                        return answer.status == wanted
                except aiohttp.ClientError:
                    return False

            await until(lambda: gives("/healthz", 200), "the gateway")
            assert await gives("/v2/apps", 503)
            os.kill(server.server.pid, signal.SIGCONT)
            async with connect(server.url, "controller") as bus, Controller(bus).serving():
                await until(lambda: gives("/v2/apps", 200), "an answer")

                async def found() -> bool:
                    names = {component.name for component in await bus.discover()}
                    return names == {"controller", "gateway"}

                await until(found, "both on the bus")
                await until(lambda: gives("/readiness", 200), "readiness")
    finally:
        os.kill(server.server.pid, signal.SIGCONT)
        stop.set()
        await task


async def test_a_right_that_was_revoked_while_nobody_could_hear(
    running: Running,
    controller: Controller,
    server: RunningNats,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(running.parts.rights, "_again", 3600.0)  # so the regular look is not why
    async with running.ask("GET", "/v2/events?app=blog") as answer:
        await Reader(answer).block()
        await kill(server, running)
        controller.visible = {}
        controller.there = {"blog"}
        with pytest.raises(aiohttp.ClientError):
            await answer.content.read()
