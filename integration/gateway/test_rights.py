"""The gateway works with the rights on the bus that it has, and no more (DESIGN 4, Rights)."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from deis_bus import subjects
from deis_bus.contracts import buildlog
from deis_bus.jetstream import JetStreamBus, connect
from deis_bus.streams import BUCKETS, STREAMS
from deis_bus.users import SERVICES, authorization
from integration.servers import nats_server, until
from tests.behaviour.gateway_rig import Controller, Running, gateway, json
from tests.behaviour.gateway_streaming import BLOG, BUILD, OUTPUT, Reader, accepting, echo, exactly

pytestmark = pytest.mark.server


@pytest.fixture
async def buses(tmp_path: Path) -> AsyncIterator[dict[str, JetStreamBus]]:
    """Connections of the services that take part, each as its own user."""
    passwords = {name: secrets.token_hex(8) for name in SERVICES}
    async with (
        nats_server(tmp_path, authorization(passwords)) as server,
        AsyncExitStack() as stack,
    ):
        yield {
            name: await stack.enter_async_context(
                connect(server.url, name, user=name, password=passwords[name])
            )
            for name in ("gateway", "controller", "builder", "manager")
        }


@pytest.fixture
async def controller(buses: dict[str, JetStreamBus]) -> AsyncIterator[Controller]:
    await buses["controller"].ensure(STREAMS, BUCKETS)
    controller = Controller(buses["controller"])
    controller.visible = {"blog": BLOG}
    async with controller.serving():
        yield controller


@pytest.fixture
async def running(
    buses: dict[str, JetStreamBus], controller: Controller, tmp_path: Path
) -> AsyncIterator[Running]:
    async with gateway(buses["gateway"], tmp_path) as running:
        yield running


async def test_requests_and_events(running: Running, controller: Controller) -> None:
    async with running.ask("GET", "/v2/apps") as answer:
        assert answer.status == 200
    async with running.http.get(running.url("/readiness")) as answer:
        assert answer.status == 200
    async with running.ask("GET", "/v2/events?app=blog") as answer:
        reader = Reader(answer)
        await reader.block()
        await controller.announce("blog", "release.created")
        assert (await reader.event())["type"] == "release.created"
    async with running.ask("GET", "/v2/events?follow=false") as answer:
        assert b"release.created" in await answer.read()


async def test_build_output(
    running: Running, controller: Controller, buses: dict[str, JetStreamBus]
) -> None:
    body = {"build": BUILD, "app": "blog", "appuuid": BLOG, "state": "building"}
    controller.answers["builds.output"] = json(200, body)
    headers = {buildlog.APPUUID: BLOG, buildlog.ATTEMPT: "1"}
    await buses["builder"].store(subjects.buildlog("blog", BUILD), b"one\n", headers)
    async with running.ask("GET", OUTPUT) as answer:
        await exactly(answer, b"one\n")


async def test_a_command(
    running: Running, controller: Controller, buses: dict[str, JetStreamBus]
) -> None:
    controller.bus = buses["builder"]  # the runtime's part: it may use byte streams
    accepting(controller, "apps.run", echo)
    async with running.ask("POST", "/v2/apps/blog/run", json={"command": "x"}) as answer:
        assert await answer.json() == {"exit_code": 0, "output": "end "}


async def test_it_is_found(running: Running, buses: dict[str, JetStreamBus]) -> None:
    async def found() -> bool:
        return "gateway" in {component.name for component in await buses["manager"].discover(0.2)}

    await until(found, "the gateway on the bus")


async def test_nothing_was_forbidden(
    running: Running, controller: Controller, buses: dict[str, JetStreamBus]
) -> None:
    async with running.ask("GET", "/v2/events?follow=false") as answer:
        assert answer.status == 200
    assert buses["gateway"].counts.errors == 0
