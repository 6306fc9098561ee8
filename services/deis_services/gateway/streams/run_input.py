"""What a client sends to a running command: taken in at once, handed on as fast as it is read.

A program that reads nothing must not stop the WebSocket: its pings would go unanswered and the
connection be given up. So a client keeps to a window: `WINDOW_BYTES` that are not yet `taken`.
"""

import asyncio
import contextlib

import msgspec
from aiohttp import WSMessage, WSMsgType, web

from deis_bus.errors import StreamClosed
from deis_bus.ports import ByteStream

WINDOW_BYTES = 512 * 1024
QUEUED = 4096
"""Frames that may wait, whatever their size; who sends more waits."""


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """A text frame of the client, after `start`."""

    type: str
    columns: int = 80
    rows: int = 24
    name: str = ""


class Input:
    """From a WebSocket to a byte stream."""

    def __init__(self, socket: web.WebSocketResponse, stream: ByteStream) -> None:
        self._socket = socket
        self._stream = stream
        self._queue: asyncio.Queue[WSMessage] = asyncio.Queue(QUEUED)
        self._waiting = 0
        self._taken = 0
        self._room = asyncio.Event()

    async def receive(self) -> None:
        """Until the client goes."""
        async for message in self._socket:
            while self._waiting > 2 * WINDOW_BYTES:  # only for who does not keep to the window
                self._room.clear()
                await self._room.wait()
            self._waiting += len(message.data)
            await self._queue.put(message)

    async def hand_on(self) -> None:
        """For ever. What comes after the command's end is dropped: its exit follows."""
        while True:
            message = await self._queue.get()
            with contextlib.suppress(StreamClosed):
                await self._hand_on(message)
            self._waiting -= len(message.data)
            self._room.set()
            if message.type is WSMsgType.BINARY:
                self._taken += len(message.data) - 1
                await self._socket.send_json({"type": "taken", "bytes": self._taken})

    async def _hand_on(self, message: WSMessage) -> None:
        if message.type is WSMsgType.BINARY and message.data[:1] == b"\0":
            await self._stream.send(message.data[1:], channel=0)
        elif message.type is WSMsgType.TEXT:
            with contextlib.suppress(msgspec.MsgspecError):
                await self._control(msgspec.json.decode(message.data, type=Control))

    async def _control(self, control: Control) -> None:
        if control.type == "end":
            await self._stream.end_input()
        elif control.type == "resize":
            columns, rows = (min(max(n, 1), 1000) for n in (control.columns, control.rows))
            await self._stream.resize(columns, rows)
        elif control.type == "signal":
            await self._stream.signal(control.name[:16])
