"""What the gateway streams, on any bus; inherit and give the fixtures of a gateway and `other`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec
import pytest

from deis_bus import subjects
from deis_bus.contracts import buildlog
from deis_bus.contracts.http import ApiAnswer, ApiCall
from deis_bus.errors import StreamClosed
from deis_bus.ports import Bus, ByteStream, Frame
from deis_services.gateway.streams import run_socket, sender
from tests.behaviour.bus import PATIENCE, until
from tests.behaviour.gateway_rig import TOKEN, Controller, Running, json

BLOG, SHOP = str(uuid4()), str(uuid4())
BUILD = str(uuid4())
OUTPUT = f"/v2/apps/blog/builds/{BUILD}/output"
Program = Callable[[ByteStream], Awaitable[None]]


def accepting(controller: Controller, endpoint: str, program: Program, body: object = None) -> None:
    """Answer an endpoint with a byte stream whose other end `program` plays."""
    running: set[asyncio.Task[None]] = set()

    async def play(stream_id: str) -> None:
        stream = await controller.bus.open_stream(stream_id, "acceptor")
        try:
            await program(stream)
        except StreamClosed:
            pass
        finally:
            await stream.close()

    async def answer(call: ApiCall) -> ApiAnswer:
        task = asyncio.create_task(play(call.stream))
        running.add(task)
        task.add_done_callback(running.discard)
        return json(200, body or {})

    controller.answers[endpoint] = answer


async def exactly(answer: aiohttp.ClientResponse, wanted: bytes) -> None:
    """The next bytes of an answer."""
    async with asyncio.timeout(PATIENCE):
        assert await answer.content.readexactly(len(wanted)) == wanted


async def cut(answer: aiohttp.ClientResponse) -> bytes:
    """What comes before an answer breaks off, which it must."""
    got = b""
    async with asyncio.timeout(PATIENCE):
        try:
            async for piece in answer.content.iter_any():
                got += piece
        except aiohttp.ClientError:
            return got
    raise AssertionError("the answer came to a good end")


class Streaming:
    """An application that may be used."""

    @pytest.fixture(autouse=True)
    def apps(self, controller: Controller) -> None:
        controller.visible = {"blog": BLOG}


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


async def end_right(running: Running, controller: Controller, why: str) -> None:
    """Let a right end: nobody tells the gateway but the event of it."""
    if why == "stop":
        running.stop.set()
    elif why == "token":
        controller.known = False
        await controller.announce("_", "token.regenerated", {"username": "ada"})
    elif why == "renewed":
        controller.visible = {"blog": SHOP}
        await controller.announce("blog", "app.destroyed", appuuid=BLOG)
    else:
        controller.visible = {}
        controller.there = {"blog"} if why == "revoked" else set()
        kind = "share.revoked" if why == "revoked" else "app.destroyed"
        await controller.announce("blog", kind, {"username": "ada"}, BLOG)


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


async def echo(stream: ByteStream) -> None:
    """A program: shows what it is told, ends with the code of `exit N`."""
    async for frame in stream.frames():
        if frame.kind == "data" and frame.data.startswith(b"exit "):
            await stream.exit(int(frame.data[5:]))
            return
        await stream.send(_shown(frame), channel=2 if frame.kind == "signal" else 1)
        if frame.kind == "end":
            await stream.exit(0)
            return


def _shown(frame: Frame) -> bytes:
    match frame.kind:
        case "data":
            return frame.data
        case "resize":
            return b"%d x %d" % (frame.columns, frame.rows)
        case _:
            return f"{frame.kind} {frame.text}".encode()


class RunSuite(Streaming):
    """`POST …/run` and its WebSocket (api.md 11)."""

    async def test_exit_code_and_output(self, running: Running, controller: Controller) -> None:
        async def program(stream: ByteStream) -> None:
            await stream.send(b"out ")
            await stream.send(b"err \xff", channel=2)
            await stream.exit(3)

        accepting(controller, "apps.run", program, {"instance": "blog-run-abcde"})
        async with running.ask("POST", "/v2/apps/blog/run", json={"command": "x"}) as answer:
            assert answer.status == 200
            assert await answer.json() == {"exit_code": 3, "output": "out err \ufffd"}
        assert bytes(controller.calls[0].body) == b'{"command": "x"}'

    async def test_input_is_at_its_end(self, running: Running, controller: Controller) -> None:
        accepting(controller, "apps.run", echo)
        async with running.ask("POST", "/v2/apps/blog/run", json={"command": "x"}) as answer:
            assert await answer.json() == {"exit_code": 0, "output": "end "}

    async def test_long_output_is_cut(self, running: Running, controller: Controller) -> None:
        async def program(stream: ByteStream) -> None:
            for _ in range(20):
                await stream.send(b"x" * 100_000)
            await stream.exit(0)

        accepting(controller, "apps.run", program)
        async with running.ask("POST", "/v2/apps/blog/run", json={"command": "x"}) as answer:
            body = await answer.json()
        assert body["exit_code"] == 0
        assert body["output"].startswith("x" * 1024 * 1024)
        assert "longer than 1 MB" in body["output"][1024 * 1024 :]

    async def test_a_lost_command(self, running: Running, controller: Controller) -> None:
        async def program(stream: ByteStream) -> None:
            await stream.cancel("Timed out (20 mins) while running")

        accepting(controller, "apps.run", program, {"instance": "blog-run-abcde"})
        async with running.ask("POST", "/v2/apps/blog/run", json={"command": "x"}) as answer:
            text = "blog-run-abcde (run): Timed out (20 mins) while running"
            assert (answer.status, await answer.json()) == (503, {"detail": text})

    async def test_refusals_are_answers(self, running: Running, controller: Controller) -> None:
        controller.answers["apps.run"] = json(400, {"detail": "command is a required field"})
        async with running.ask("POST", "/v2/apps/blog/run", json={}) as answer:
            assert (answer.status, await answer.json()) == (
                400, {"detail": "command is a required field"},
            )  # fmt: skip

    async def test_a_client_that_goes_away_ends_nothing(
        self, running: Running, controller: Controller
    ) -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()
        ended: list[str] = []

        async def program(stream: ByteStream) -> None:
            begun.set()
            await go_on.wait()
            await stream.send(b"x" * 3_000_000)  # more than a window: somebody must read
            await stream.exit(0)
            ended.append("well")

        async def ask() -> None:
            async with running.ask("POST", "/v2/apps/blog/run", json={"command": "x"}):
                pass

        accepting(controller, "apps.run", program)
        task = asyncio.create_task(ask())
        await begun.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        go_on.set()
        await until(lambda: ended == ["well"])

    async def test_a_revoked_right_ends_the_command(
        self, running: Running, controller: Controller
    ) -> None:
        begun = asyncio.Event()
        ended: list[str] = []

        async def program(stream: ByteStream) -> None:
            begun.set()
            ended.extend([frame.text async for frame in stream.frames() if frame.kind == "cancel"])

        async def revoke() -> None:
            await begun.wait()
            await end_right(running, controller, "revoked")

        accepting(controller, "apps.run", program)
        task = asyncio.create_task(revoke())
        async with running.ask("POST", "/v2/apps/blog/run", json={"command": "x"}) as answer:
            assert answer.status == 403
        await task
        await until(lambda: ended == ["the right was revoked"])

    @asynccontextmanager
    async def socket(
        self, running: Running, path: str = "/v2/apps/blog/run", **start: object
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        headers = {"Authorization": f"token {TOKEN}"}
        async with (
            asyncio.timeout(PATIENCE),
            running.http.ws_connect(
                running.url(path), headers=headers, protocols=("deis.run.v1",)
            ) as socket,
        ):
            if start:
                await socket.send_json({"type": "start"} | start)
            yield socket

    async def test_a_socket_carries_everything(
        self, running: Running, controller: Controller
    ) -> None:
        accepting(controller, "apps.run", echo)
        async with self.socket(running, command="x", tty=True, columns=99, rows=33) as socket:
            assert socket.protocol == "deis.run.v1"
            await started(socket)
            await socket.send_bytes(b"\0typed")
            assert await told(socket) == b"\x01typed"
            await socket.send_json({"type": "resize", "columns": 9999, "rows": 40})
            assert await told(socket) == b"\x011000 x 40"
            await socket.send_json({"type": "signal", "name": "INT"})
            assert await told(socket) == b"\x02signal INT"
            for nonsense in ("{", '{"type": "what"}', "[]"):
                await socket.send_str(nonsense)
            await socket.send_bytes(b"\x07ignored")
            await socket.send_bytes(b"\0exit 7")
            assert await told(socket) == {"type": "exit", "code": 7}
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert msgspec.json.decode(bytes(controller.calls[0].body)) == {
            "command": "x", "tty": True, "columns": 99, "rows": 33,
        }  # fmt: skip
        assert controller.calls[0].endpoint == "apps.run"

    async def test_the_end_of_input(self, running: Running, controller: Controller) -> None:
        accepting(controller, "apps.run", echo)
        async with self.socket(running, command="x") as socket:
            await socket.send_json({"type": "end"})
            await started(socket)
            assert await told(socket) == b"\x01end "
            assert await told(socket) == {"type": "exit", "code": 0}

    async def test_refusals_over_the_socket(self, running: Running, controller: Controller) -> None:
        controller.answers["apps.run"] = json(403, {"detail": "no"})
        async with self.socket(running, command="x") as socket:
            refused = {"type": "refused", "status": 403, "body": {"detail": "no"}}
            assert await socket.receive_json() == refused
        async with self.socket(running) as socket:
            await socket.send_str("nonsense")
            assert (await socket.receive_json())["status"] == 400
        for path, status in (("/v2/apps", 400), ("/nothing", 400)):
            with pytest.raises(aiohttp.WSServerHandshakeError) as fault:
                async with self.socket(running, path):
                    pass
            assert fault.value.status == status

    async def test_who_may_not_takes_no_room(
        self, running: Running, controller: Controller
    ) -> None:
        controller.known = False
        async with self.socket(running) as socket:  # sends nothing
            assert (await socket.receive_json())["status"] == 401
            assert running.parts.streams.open == 0
        assert controller.calls == []

    async def test_a_client_that_goes_ends_the_command(
        self, running: Running, controller: Controller
    ) -> None:
        ended: list[str] = []

        async def program(stream: ByteStream) -> None:
            ended.extend([frame.text async for frame in stream.frames() if frame.kind == "cancel"])

        accepting(controller, "apps.run", program)
        async with self.socket(running, command="x") as socket:
            await started(socket)
        await until(lambda: len(ended) == 1)

    @pytest.mark.parametrize(
        ("why", "reason"),
        [("revoked", "the right was revoked"), ("stop", "the gateway stops")],
    )
    async def test_an_end_from_our_side(
        self, running: Running, controller: Controller, why: str, reason: str
    ) -> None:
        accepting(controller, "apps.run", echo)
        async with self.socket(running, command="x") as socket:
            await started(socket)
            await end_right(running, controller, why)
            assert await socket.receive_json() == {"type": "cancel", "reason": reason}

    async def test_a_program_that_does_not_read_keeps_its_socket(
        self, running: Running, controller: Controller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However long it takes: a client that keeps to the window has its pings answered."""
        monkeypatch.setattr(run_socket, "HEARTBEAT_SECONDS", 0.05)
        go_on = asyncio.Event()
        got = 0

        async def program(stream: ByteStream) -> None:
            nonlocal got
            await go_on.wait()
            async for frame in stream.frames():
                got += len(frame.data)
                if frame.kind == "end":
                    await stream.exit(0)
                    return

        accepting(controller, "apps.run", program)
        piece, pieces = 64 * 1024, 64
        async with self.socket(running, command="x") as socket:
            window = await started(socket)
            sent = taken = 0
            while sent < pieces * piece:
                while sent + piece > taken + window:
                    try:
                        async with asyncio.timeout(0.3):  # many pings
                            taken = (await socket.receive_json())["bytes"]
                    except TimeoutError:
                        go_on.set()
                await socket.send_bytes(b"\0" + b"x" * piece)
                sent += piece
            await socket.send_json({"type": "end"})
            assert await told(socket) == {"type": "exit", "code": 0}
        assert got == pieces * piece

    async def test_a_slow_reader_stops_the_program(
        self, running: Running, controller: Controller
    ) -> None:
        """Nothing is left out, however much there is."""

        async def program(stream: ByteStream) -> None:
            for number in range(100):
                await stream.send(bytes([number]) * 100_000)
            await stream.exit(0)

        accepting(controller, "apps.run", program)
        got = 0
        async with self.socket(running, command="x") as socket:
            await started(socket)
            while (message := await socket.receive()).type is aiohttp.WSMsgType.BINARY:
                got += len(message.data) - 1
            assert message.json() == {"type": "exit", "code": 0}
        assert got == 10_000_000


async def started(socket: aiohttp.ClientWebSocketResponse) -> int:
    """The command has started; gives the window for its input."""
    message = await socket.receive_json()
    assert message["type"] == "started"
    return int(message["window"])


async def told(socket: aiohttp.ClientWebSocketResponse) -> Any:
    """What comes next, beside the words about input that was taken."""
    while True:
        message = await socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            return message.data
        word = message.json()
        if word["type"] != "taken":
            return word


def events_of(raw: bytes) -> list[dict[str, Any]]:
    """Events of an ended answer."""
    blocks = [block for block in raw.split(b"\n\n") if b"data: " in block]
    return [msgspec.json.decode(block.partition(b"data: ")[2]) for block in blocks]


class Reader:
    """Reads server-sent events one by one."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self.id = ""

    async def block(self) -> dict[str, str]:
        """The fields of the next block."""
        async with asyncio.timeout(PATIENCE):
            raw = await self._answer.content.readuntil(b"\n\n")
        lines = raw.decode().strip().splitlines()
        fields = dict(line.split(": ", 1) for line in lines if not line.startswith(":"))
        self.id = fields.get("id", self.id)
        return fields

    async def event(self) -> dict[str, Any]:
        """The next event."""
        while "data" not in (fields := await self.block()):
            pass
        told: dict[str, Any] = msgspec.json.decode(fields["data"])
        assert (fields["id"], fields["event"]) == (told["cursor"], told["type"])
        return told


class EventsSuite(Streaming):
    """`GET /v2/events` (DESIGN 4, 5)."""

    @asynccontextmanager
    async def open(
        self, running: Running, query: str = "", **headers: str
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, Reader]]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with running.ask("GET", f"/v2/events{query}", headers=sent) as answer:
            assert answer.status == 200, await answer.text()
            assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            yield answer, Reader(answer)

    async def present(self, running: Running, query: str = "") -> list[tuple[str, str]]:
        """Type and application of the events that there are."""
        async with self.open(running, f"?follow=false&{query}") as (answer, _):
            return [(told["type"], told["app"]) for told in events_of(await answer.read())]

    async def test_new_events_come_as_they_happen(
        self, running: Running, controller: Controller
    ) -> None:
        await controller.announce("blog", "release.created", {"version": 1})
        async with self.open(running) as (_, reader):
            await reader.block()
            sequence = await controller.announce("blog", "release.created", {"version": 2})
            told = await reader.event()
        assert told["data"] == {"version": 2}
        assert (told["app"], told["appuuid"], told["source"]) == ("blog", BLOG, "controller")
        assert told["cursor"].endswith(f"-{sequence}")

    async def test_from_a_cursor_on_nothing_is_left_out(
        self, running: Running, controller: Controller
    ) -> None:
        for version in range(5):
            await controller.announce("blog", "release.created", {"version": version})
        async with self.open(running, "?since=beginning") as (_, reader):
            cursors = [(await reader.event())["cursor"] for _ in range(3)]
        async with self.open(running, f"?since={cursors[1]}") as (_, reader):
            assert [(await reader.event())["data"]["version"] for _ in range(3)] == [2, 3, 4]
        async with self.open(running, "?since=now", Last_Event_ID=cursors[2]) as (_, reader):
            assert (await reader.event())["data"] == {"version": 3}

    async def test_who_is_cut_off_before_the_first_event_goes_on_from_there(
        self, running: Running, controller: Controller
    ) -> None:
        async with self.open(running) as (_, reader):
            await reader.block()
        await controller.announce("blog", "release.created")
        async with self.open(running, Last_Event_ID=reader.id) as (_, reader):
            assert (await reader.event())["type"] == "release.created"

    async def test_the_present(self, running: Running, controller: Controller) -> None:
        assert await self.present(running) == []
        for number in range(1100):
            await controller.announce("blog", "app.scaled" if number % 2 else "release.created")
        assert len(await self.present(running)) == 1100
        only = await self.present(running, "type=app.scaled&app=blog")
        assert only == [("app.scaled", "blog")] * 550
        assert await self.present(running, "since=now") == []

    async def test_only_what_may_be_seen_now(
        self, running: Running, controller: Controller
    ) -> None:
        await controller.announce("blog", "release.created")
        await controller.announce("shop", "release.created", appuuid=SHOP)
        await controller.announce("_", "user.registered", {"username": "eve"})
        await controller.announce("blog", "release.created", appuuid=SHOP)
        assert await self.present(running) == [("release.created", "blog")]
        controller.admin = True
        assert len(await self.present(running)) == 4
        controller.admin = False
        controller.visible = {"shop": SHOP}
        assert [app for _, app in await self.present(running)] == ["shop", "blog"]

    async def test_a_new_application_is_seen_at_once(
        self, running: Running, controller: Controller
    ) -> None:
        async with self.open(running) as (_, reader):
            await reader.block()
            await controller.announce("other", "app.created", appuuid=str(uuid4()))
            controller.visible = {"blog": BLOG, "shop": SHOP}
            await controller.announce("shop", "app.created")
            assert (await reader.event())["app"] == "shop"

    async def test_an_application_that_is_shared_is_seen_from_then_on(
        self, running: Running, controller: Controller
    ) -> None:
        async with self.open(running) as (_, reader):
            await reader.block()
            await controller.announce("shop", "release.created", appuuid=SHOP)
            await controller.announce("blog", "release.created")
            assert (await reader.event())["app"] == "blog"
            controller.visible = {"blog": BLOG, "shop": SHOP}
            await controller.announce("shop", "share.granted")
            assert (await reader.event())["type"] == "share.granted"

    async def test_a_revoked_share_hides_the_application(
        self, running: Running, controller: Controller
    ) -> None:
        controller.visible = {"blog": BLOG, "shop": SHOP}
        async with self.open(running) as (_, reader):
            await controller.announce("shop", "release.created")
            assert (await reader.event())["app"] == "shop"
            controller.visible = {"blog": BLOG}
            controller.there = {"shop"}
            await controller.announce("blog", "share.revoked", {"username": "ada"})
            assert (await reader.event())["type"] == "share.revoked"

            async def hidden() -> bool:
                await controller.announce("shop", "release.created", appuuid=SHOP)
                await controller.announce("blog", "release.created")
                if (await reader.event())["app"] == "blog":
                    return True
                await reader.event()
                return False

            await until(hidden)

    async def test_the_last_event_of_an_own_application(
        self, running: Running, controller: Controller
    ) -> None:
        for query in ("", "?app=blog"):
            controller.visible = {"blog": BLOG, "shop": SHOP}
            async with self.open(running, query) as (answer, reader):
                await controller.announce("blog", "release.created")
                assert (await reader.event())["type"] == "release.created"
                controller.visible = {"shop": SHOP}
                await controller.announce("blog", "app.destroyed", appuuid=BLOG)
                assert (await reader.event())["type"] == "app.destroyed"
                if query:
                    assert await answer.read() == b""

    @pytest.mark.parametrize("why", ["revoked", "token", "stop"])
    async def test_a_right_that_ends_ends_the_stream(
        self, running: Running, controller: Controller, why: str
    ) -> None:
        async with self.open(running, "?app=blog") as (answer, reader):
            await reader.block()
            await end_right(running, controller, why)
            assert b"release.created" not in await cut(answer)

    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ("since=x", 400),
            ("since=x-1y", 400),
            ("since=-1", 400),
            ("type=a", 400),
            ("type=a.*", 400),
            ("type=a.b.c", 400),
            ("app=a.*", 400),
            ("app=%3E", 400),
            ("app=nothing", 404),
        ],
    )
    async def test_wrong_questions(self, running: Running, query: str, status: int) -> None:
        async with running.ask("GET", f"/v2/events?{query}") as answer:
            assert answer.status == status

    async def test_a_place_that_is_gone(
        self, running: Running, controller: Controller, other: Bus
    ) -> None:
        for _ in range(3):
            await controller.announce("blog", "release.created")
        async with self.open(running, "?since=beginning") as (_, reader):
            first = (await reader.event())["cursor"]
        epoch = first.rpartition("-")[0]
        await other.remove("EVENTS", 1)
        await other.remove("EVENTS", 2)
        oldest = f"{epoch}-2"
        for cursor in ("elsewhere-1", f"{epoch}-0", f"{epoch}-1", f"{epoch}-4"):
            async with running.ask("GET", f"/v2/events?since={cursor}") as answer:
                assert answer.status == 410, cursor
                assert (await answer.json())["cursor"] == oldest
        assert len(await self.present(running, f"since={oldest}")) == 1

    async def test_a_token_that_is_none(self, running: Running, controller: Controller) -> None:
        controller.answers["events.list"] = json(401, {"detail": "Invalid token."})
        async with running.ask("GET", "/v2/events") as answer:
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Token")

    async def test_nobody_takes_all_the_room(self, running: Running) -> None:
        running.parts.streams.limit = 8
        async with self.open(running) as (_, first), self.open(running) as (_, second):
            await first.block()
            await second.block()
            async with running.ask("GET", "/v2/events") as answer:
                assert answer.status == 503
            others = {"Authorization": "token somebody-else"}
            async with running.ask("GET", "/v2/events", headers=others) as answer:
                assert answer.status == 200

    async def test_too_many_streams(self, running: Running) -> None:
        running.parts.streams.limit = 1
        async with self.open(running) as (_, reader):
            await reader.block()
            async with running.ask("GET", "/v2/events") as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "1")

        async def free() -> bool:
            async with running.ask("GET", "/v2/events") as answer:
                return bool(answer.status == 200)

        await until(free)
