"""What the gateway streams, on any bus; inherit and give the fixtures of a gateway and `other`."""

import asyncio

import pytest

from deis_bus import subjects
from deis_bus.contracts import buildlog
from deis_bus.contracts.http import ApiAnswer
from deis_bus.errors import StreamClosed
from deis_bus.ports import Bus, ByteStream
from deis_services.gateway.streams import sender
from tests.behaviour.bus import until
from tests.behaviour.gateway_rig import TOKEN, Controller, Running, json
from tests.behaviour.gateway_streaming import (
    BLOG,
    BUILD,
    OUTPUT,
    SHOP,
    Streaming,
    accepting,
    cut,
    end_right,
    exactly,
)


class LogsSuite(Streaming):
    """`GET …/logs` (api.md 12)."""

    async def test_followed_lines_come_as_they_are_made(
        self, running: Running, controller: Controller
    ) -> None:
        more = asyncio.Event()

        async def logger(stream: ByteStream) -> None:
            await stream.send(b"one\n")
            await more.wait()
            await stream.send(b"two\n")
            await stream.end_input()

        accepting(controller, "apps.logs", logger)
        async with running.ask("GET", "/v2/apps/blog/logs?follow=true&log_lines=7") as answer:
            assert (answer.status, answer.headers["Deis-Stream"]) == (200, "logs")
            assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
            assert answer.headers["DEIS_API_VERSION"] == "2.3"
            await exactly(answer, b"one\n")
            more.set()
            assert await answer.read() == b"two\n"
        assert controller.calls[0].query == {"follow": "true", "log_lines": "7"}
        assert controller.calls[0].stream

    async def test_the_tail_is_one_text(self, running: Running, controller: Controller) -> None:
        controller.answers["apps.logs"] = ApiAnswer(status=200, text="a\n")
        for query in ("", "?follow=false"):
            async with running.ask("GET", f"/v2/apps/blog/logs{query}") as answer:
                assert await answer.text() == "a\n"
                assert "Deis-Stream" not in answer.headers
        async with running.ask("HEAD", "/v2/apps/blog/logs?follow=true") as answer:
            assert answer.status == 200
        assert [(call.stream, call.query) for call in controller.calls] == [("", {})] * 3

    async def test_refusals_are_answers(self, running: Running, controller: Controller) -> None:
        for status in (204, 401, 403, 404):
            controller.answers["apps.logs"] = ApiAnswer(status=status)
            async with running.ask("GET", "/v2/apps/blog/logs?follow=1") as answer:
                assert answer.status == status

    async def test_a_client_that_goes_frees_the_logger(
        self, running: Running, controller: Controller
    ) -> None:
        ended: list[str] = []

        async def logger(stream: ByteStream) -> None:
            await stream.send(b"one\n")
            ended.extend([frame.kind async for frame in stream.frames()])

        accepting(controller, "apps.logs", logger)
        async with running.ask("GET", "/v2/apps/blog/logs?follow=true") as answer:
            await exactly(answer, b"one\n")
            answer.close()
            await until(lambda: ended == ["cancel"])

    async def test_a_client_that_takes_nothing_is_given_up(
        self, running: Running, controller: Controller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sender, "SEND_SECONDS", 0.2)
        ended: list[str] = []

        async def logger(stream: ByteStream) -> None:
            try:
                while True:
                    await stream.send(b"x" * 200_000)
            except StreamClosed as fault:
                ended.append(str(fault))

        accepting(controller, "apps.logs", logger)
        address = running.parts.api.address
        _, writer = await asyncio.open_connection(address.host, address.port, limit=1)
        writer.write(b"GET /v2/apps/blog/logs?follow=1 HTTP/1.1\r\nHost: x\r\n")
        writer.write(f"Authorization: token {TOKEN}\r\n\r\n".encode())
        await until(lambda: len(ended) == 1)
        await until(lambda: running.parts.streams.open == 0)
        writer.transport.abort()

    async def test_a_logger_that_dies_is_no_good_end(
        self, running: Running, controller: Controller
    ) -> None:
        async def logger(stream: ByteStream) -> None:
            await stream.send(b"one\n")
            await stream.cancel("restarted")

        accepting(controller, "apps.logs", logger)
        async with running.ask("GET", "/v2/apps/blog/logs?follow=true") as answer:
            assert b"one\n".startswith(await cut(answer))

    @pytest.mark.parametrize("why", ["revoked", "token", "destroyed", "renewed", "stop"])
    async def test_a_right_that_ends_ends_the_stream(
        self, running: Running, controller: Controller, why: str
    ) -> None:
        async def logger(stream: ByteStream) -> None:
            await stream.send(b"one\n")
            async for _ in stream.frames():
                pass

        accepting(controller, "apps.logs", logger)
        async with running.ask("GET", "/v2/apps/blog/logs?follow=true") as answer:
            await exactly(answer, b"one\n")
            await end_right(running, controller, why)
            assert await cut(answer) == b""


class BuildOutputSuite(Streaming):
    """`GET …/builds/<build>/output` (DESIGN 5, A push, 3)."""

    @pytest.fixture(autouse=True)
    def builds(self, controller: Controller) -> None:
        self.state(controller, "building")

    def state(self, controller: Controller, state: str) -> None:
        body = {"build": BUILD, "app": "blog", "appuuid": BLOG, "state": state}
        controller.answers["builds.output"] = json(200, body)

    async def write(
        self, bus: Bus, data: bytes, attempt: int = 1, end: str = "", appuuid: str = BLOG
    ) -> None:
        headers = {buildlog.APPUUID: appuuid, buildlog.ATTEMPT: str(attempt)}
        if end:
            headers[buildlog.END] = end
        await bus.store(subjects.buildlog("blog", BUILD), data, headers)

    async def test_from_the_first_line_while_it_runs_and_after(
        self, running: Running, other: Bus
    ) -> None:
        await self.write(other, b"one\n")
        async with running.ask("GET", OUTPUT) as answer:
            assert (answer.status, answer.headers["Deis-Stream"]) == (200, "build")
            await exactly(answer, b"one\n")
            await self.write(other, b"two\n")
            await exactly(answer, b"two\n")
            await self.write(other, b"done\n", end="done")
            assert await answer.read() == b"done\n"
        async with running.ask("GET", OUTPUT) as answer:
            assert await answer.read() == b"one\ntwo\ndone\n"

    async def test_of_the_newest_attempt_and_this_identity_only(
        self, running: Running, other: Bus
    ) -> None:
        await self.write(other, b"of another\n", appuuid=SHOP)
        await self.write(other, b"first\n")
        async with running.ask("GET", OUTPUT) as answer:
            await exactly(answer, b"first\n")
            await self.write(other, b"second\n", attempt=2)
            await self.write(other, b"late\n", end="failed")
            await self.write(other, b"end\n", attempt=2, end="done")
            assert await answer.read() == b"second\nend\n"

    async def test_a_build_that_ended_without_its_last_line(
        self, running: Running, controller: Controller, other: Bus
    ) -> None:
        await self.write(other, b"one\n")
        self.state(controller, "failed")
        async with running.ask("GET", OUTPUT) as answer:
            assert await answer.read() == b"one\n"

    async def test_which_build_and_how_far(self, running: Running) -> None:
        async with running.ask("GET", "/v2/apps/blog/builds/newest/output?state=only") as answer:
            assert await answer.json() == {
                "build": BUILD, "app": "blog", "appuuid": BLOG, "state": "building",
            }  # fmt: skip

    async def test_refusals_are_answers(self, running: Running, controller: Controller) -> None:
        controller.answers["builds.output"] = json(404, "No Build matches the given query.")
        async with running.ask("GET", OUTPUT) as answer:
            assert (answer.status, await answer.json()) == (
                404,
                "No Build matches the given query.",
            )

    @pytest.mark.parametrize("why", ["revoked", "token", "destroyed", "renewed", "stop"])
    async def test_a_right_that_ends_ends_the_stream(
        self, running: Running, controller: Controller, other: Bus, why: str
    ) -> None:
        await self.write(other, b"one\n")
        async with running.ask("GET", OUTPUT) as answer:
            await exactly(answer, b"one\n")
            await end_right(running, controller, why)
            assert await cut(answer) == b""
