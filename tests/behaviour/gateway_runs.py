"""Commands through the gateway, on any bus; inherited like `gateway_streams`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import msgspec
import pytest

from deis_bus.ports import ByteStream
from deis_services.gateway.streams import run_socket
from tests.behaviour.bus import PATIENCE, until
from tests.behaviour.gateway_rig import TOKEN, Controller, Running, json
from tests.behaviour.gateway_streaming import (
    Streaming,
    accepting,
    echo,
    end_right,
    started,
    told,
)


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
