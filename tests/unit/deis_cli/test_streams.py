"""What streams: `run` both ways, followed logs and events, and connections that break."""

import asyncio
import json
import os
import pty
import signal
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import WSMsgType, web

from deis_cli.core import events
from tests.unit.deis_cli.scripted import VERSIONS, Person
from tests.unit.deis_cli.test_lists import sent, told

RUN = "GET /v2/apps/blog/run"


async def opened(request: web.Request) -> tuple[web.WebSocketResponse, dict[str, Any]]:
    """A WebSocket as the gateway opens it, and the client's first word."""
    socket = web.WebSocketResponse(protocols=("deis.run.v1",))
    await socket.prepare(request)
    start: dict[str, Any] = await socket.receive_json()
    await socket.send_json({"type": "started"})
    return socket, start


async def test_what_is_piped_in_reaches_the_command_whole_and_then_ends(ada: Person) -> None:
    got = bytearray()
    ends: list[str] = []

    async def cat(request: web.Request) -> web.StreamResponse:
        socket, start = await opened(request)
        assert start["tty"] is False
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                assert message.data[:1] == b"\0"
                got.extend(message.data[1:])
            else:
                ends.append(message.json()["type"])
                break
        await socket.send_bytes(b"\x01" + bytes(got[-10:]))
        await socket.send_json({"type": "exit", "code": 0})
        await socket.close()
        return socket

    ada.server.answers[RUN] = cat
    data = bytes(range(256)) * 2048
    process = await ada.starts("run", "-a", "blog", "cat")
    out, err = await asyncio.wait_for(process.communicate(data), 30)
    assert (process.returncode, err) == (0, b"")
    assert out == b"Running 'cat'...\n" + data[-10:]
    assert bytes(got) == data
    assert ends == ["end"]


async def test_what_is_piped_in_waits_for_a_command_that_does_not_read(ada: Person) -> None:
    got = 0

    async def slow(request: web.Request) -> web.StreamResponse:
        nonlocal got
        socket = web.WebSocketResponse(protocols=("deis.run.v1",))
        await socket.prepare(request)
        await socket.receive_json()
        await socket.send_json({"type": "started", "window": 100_000})
        while got < 100_000:
            got += len((await socket.receive()).data) - 1
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=0.5)
        await socket.send_json({"type": "taken", "bytes": got})
        while (message := await socket.receive()).type is WSMsgType.BINARY:
            got += len(message.data) - 1
            await socket.send_json({"type": "taken", "bytes": got})
        assert message.json() == {"type": "end"}
        await socket.send_json({"type": "exit", "code": 0})
        await socket.close()
        return socket

    ada.server.answers[RUN] = slow
    process = await ada.starts("run", "-a", "blog", "sleep 1; cat")
    _, err = await asyncio.wait_for(process.communicate(b"x" * 1_000_000), 30)
    assert (process.returncode, err, got) == (0, b"", 1_000_000)


async def test_a_command_may_end_while_its_input_is_open(ada: Person) -> None:
    async def true(request: web.Request) -> web.StreamResponse:
        socket, _ = await opened(request)
        await socket.send_json({"type": "exit", "code": 4})
        await socket.close()
        return socket

    ada.server.answers[RUN] = true
    reader, writer = os.pipe()
    process = await ada.starts("run", "-a", "blog", "true", stdin=reader)
    os.close(reader)
    assert await asyncio.wait_for(process.wait(), 20) == 4
    os.close(writer)


async def test_bytes_pass_as_they_are_to_the_stream_they_belong_to(ada: Person) -> None:
    async def speak(request: web.Request) -> web.StreamResponse:
        socket, _ = await opened(request)
        await socket.send_bytes(b"\x01\xff\x00\xc3")
        await socket.send_bytes(b"\x02\xfe")
        await socket.send_bytes(b"\x01\xa9")
        await socket.send_json({"type": "exit", "code": 0})
        await socket.close()
        return socket

    ada.server.answers[RUN] = speak
    process = await ada.starts("run", "-a", "blog", "x", stdin=asyncio.subprocess.DEVNULL)
    out, err = await asyncio.wait_for(process.communicate(), 20)
    assert (out, err) == (b"Running 'x'...\n\xff\x00\xc3\xa9", b"\xfe")


async def test_ctrl_c_ends_a_command_without_a_terminal(ada: Person) -> None:
    gone = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        socket, _ = await opened(request)
        await socket.send_bytes(b"\x01up\n")
        async for _ in socket:
            continue
        gone.set()
        return socket

    ada.server.answers[RUN] = endless
    process = await ada.starts("run", "-a", "blog", "sleep 1000")
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 20) == b"Running 'sleep 1000'...\n"
    assert await asyncio.wait_for(process.stdout.readline(), 20) == b"up\n"
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 130
    await asyncio.wait_for(gone.wait(), 20)


class Terminal:
    """Our end of a terminal that the client is started on."""

    def __init__(self, master: int) -> None:
        self.master = master
        self.text = b""

    async def says(self, words: bytes) -> None:
        """Wait until it shows these words."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(20):
            while words not in self.text:
                readable = asyncio.Event()
                loop.add_reader(self.master, readable.set)
                try:
                    await readable.wait()
                finally:
                    loop.remove_reader(self.master)
                try:
                    self.text += os.read(self.master, 65536)
                except OSError:
                    raise AssertionError(f"never: {words!r} in {self.text!r}") from None


@asynccontextmanager
async def terminal(ada: Person, *argv: str) -> AsyncIterator[tuple[Terminal, Any, int]]:
    """The client on a terminal of 100 columns and 30 rows; its process and the terminal's end."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (30, 100))
    process = await ada.starts(*argv, stdin=slave, stdout=slave, stderr=slave)
    try:
        yield Terminal(master), process, slave
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(slave)
        os.close(master)


async def test_a_terminal_is_joined_to_the_commands_own(ada: Person) -> None:
    starts: list[dict[str, Any]] = []
    frames: asyncio.Queue[Any] = asyncio.Queue()

    async def shell(request: web.Request) -> web.StreamResponse:
        socket, start = await opened(request)
        starts.append(start)
        await socket.send_bytes(b"\x01ready> ")
        async for message in socket:
            binary = message.type is WSMsgType.BINARY
            frames.put_nowait(message.data if binary else message.json())
            if binary and message.data == b"\0\x04":
                break
        await socket.send_json({"type": "exit", "code": 5})
        await socket.close()
        return socket

    ada.server.answers[RUN] = shell
    async with terminal(ada, "run", "-a", "blog", "bash") as (shown, process, slave):
        before = termios.tcgetattr(slave)
        await shown.says(b"ready> ")
        assert starts == [
            {"type": "start", "command": "bash", "tty": True, "columns": 100, "rows": 30}
        ]
        os.write(shown.master, b"\x03")
        assert await asyncio.wait_for(frames.get(), 20) == b"\0\x03", "Ctrl-C is the command's"
        termios.tcsetwinsize(slave, (40, 120))
        process.send_signal(signal.SIGWINCH)
        resized = await asyncio.wait_for(frames.get(), 20)
        assert resized == {"type": "resize", "columns": 120, "rows": 40}
        os.write(shown.master, b"\x04")
        assert await asyncio.wait_for(process.wait(), 20) == 5
        assert termios.tcgetattr(slave) == before, "the terminal is as it was"


async def test_without_a_terminal_if_one_wants(ada: Person) -> None:
    starts: list[dict[str, Any]] = []

    async def quick(request: web.Request) -> web.StreamResponse:
        socket, start = await opened(request)
        starts.append(start)
        await socket.send_json({"type": "exit", "code": 0})
        await socket.close()
        return socket

    ada.server.answers[RUN] = quick
    async with terminal(ada, "run", "-T", "-a", "blog", "bash") as (_, process, _slave):
        assert await asyncio.wait_for(process.wait(), 20) == 0
    assert starts[0]["tty"] is False


@pytest.mark.parametrize(
    ("last", "says"),
    [
        ({"type": "cancel", "reason": "the right was revoked"}, "the right was revoked"),
        (None, "the connection was lost"),
        ("garbage", "not understood"),
    ],
)
async def test_a_command_that_is_cut_off_says_why(ada: Person, last: Any, says: str) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        socket, _ = await opened(request)
        if last is not None:
            await socket.send_str(last if isinstance(last, str) else json.dumps(last))
        await socket.close()
        return socket

    ada.server.answers[RUN] = cut
    shown = await ada.types("run", "-a", "blog", "x")
    assert shown.code == 1
    assert says in shown.err
    assert "Traceback" not in shown.err


async def test_logs_are_followed_through_a_break_in_the_middle_of_a_line(ada: Person) -> None:
    rounds: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        rounds.append(request.query_string)
        if len(rounds) == 2:
            return web.Response(status=503, headers=VERSIONS)
        if len(rounds) == 4:
            return web.json_response("No App matches the given query.", status=404)
        response = web.StreamResponse(headers=VERSIONS | {"Deis-Stream": "logs"})
        await response.prepare(request)
        if len(rounds) == 1:
            await response.write("one\ntwo\nthré".encode()[:-1])
            assert request.transport is not None
            request.transport.close()
        else:
            await response.write("one\ntwo\nthrée\nfour\n".encode())
        return response

    ada.server.answers["GET /v2/apps/blog/logs"] = answer
    shown = await ada.types("logs", "-f", "-n", "2", "-a", "blog")
    assert shown.out == "one\ntwo\nthrée\nfour\n"
    assert rounds[:3] == ["follow=true&log_lines=2", *["follow=true&log_lines=1000"] * 2]
    assert "connecting again" in shown.err
    assert shown.code == 1


async def test_lines_that_are_all_new_after_a_break_are_not_swallowed(ada: Person) -> None:
    """The logger was started anew: the last line that we saw does not come again."""
    rounds: list[int] = []
    release = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        rounds.append(1)
        if len(rounds) == 3:
            return web.json_response("No App matches the given query.", status=404)
        response = web.StreamResponse(headers=VERSIONS | {"Deis-Stream": "logs"})
        await response.prepare(request)
        await response.write(b"one\ntwo\n" if len(rounds) == 1 else b"three\nfour\n")
        if len(rounds) == 2:
            await release.wait()
        return response

    ada.server.answers["GET /v2/apps/blog/logs"] = answer
    process = await ada.starts("logs", "-f", "-a", "blog")
    assert process.stdout is not None
    for word in (b"one\n", b"two\n", b"three\n", b"four\n"):
        assert await asyncio.wait_for(process.stdout.readline(), 20) == word
    release.set()
    await asyncio.wait_for(process.communicate(), 20)


async def test_events_are_followed_through_a_break_in_the_middle_of_one(ada: Person) -> None:
    since: list[str | None] = []
    whole = sent(told(1, "release.created"), told(2, "deploy.done"))

    async def answer(request: web.Request) -> web.StreamResponse:
        since.append(request.query.get("since"))
        if len(since) == 3:
            return web.Response(status=502, headers=VERSIONS)
        if len(since) == 4:
            body = {"detail": "gone", "cursor": "e-7"}
            return web.json_response(body, status=410, headers=VERSIONS)
        response = web.StreamResponse(headers=VERSIONS)
        await response.prepare(request)
        if len(since) == 1:
            await response.write(whole[:-20])
            assert request.transport is not None
            request.transport.close()
        else:
            await response.write(sent(told(2, "deploy.done")))
        return response

    ada.server.answers["GET /v2/events"] = answer
    shown = await ada.types("events", "-f")
    assert [line.split()[0] for line in shown.out.splitlines()] == ["e-1", "e-2"]
    assert since == [None, "e-1", "e-2", "e-2"]
    assert (shown.code, "--since e-7" in shown.err) == (1, True)


async def test_a_list_of_events_does_not_wait_for_ever(
    ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PATIENCE_SECONDS", 0.1)
    ada.server.says("GET /v2/events", 503)
    shown = await ada.types("events")
    assert shown.code == 1
    assert shown.err.splitlines()[-1] == "Error: the platform is away for the moment"


async def test_an_event_that_is_none_is_an_error_in_words(ada: Person) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=b"data: {}\n\n", headers=VERSIONS)

    ada.server.answers["GET /v2/events"] = answer
    shown = await ada.types("events")
    assert shown.code == 1
    assert shown.err.startswith("Error: The controller's answer is not understood")


def test_frames_of_the_gateway_and_ours_are_the_same() -> None:
    """The wire is written down twice, since the client takes nothing of the services."""
    from deis_cli.core import run
    from deis_services.gateway.streams import run_socket

    assert run.PROTOCOL == run_socket.PROTOCOL
    start = {"type": "start", "command": "x", "tty": True, "columns": 1, "rows": 2}
    decoded = msgspec.json.decode(json.dumps(start), type=run_socket.Start)
    assert (decoded.type, decoded.tty, decoded.columns, decoded.rows) == ("start", True, 1, 2)
