"""What the suites of the gateway's streams share."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec
import pytest

from deis_bus.contracts.http import ApiAnswer, ApiCall
from deis_bus.errors import StreamClosed
from deis_bus.ports import ByteStream, Frame
from tests.behaviour.bus import PATIENCE
from tests.behaviour.gateway_rig import Controller, Running, json

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
