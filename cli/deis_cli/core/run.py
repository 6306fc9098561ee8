"""One-off commands: streamed both ways over a WebSocket, or the original's one answer."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol

import aiohttp
import msgspec

from deis_cli.core import models
from deis_cli.core.apps import path
from deis_cli.core.client import Api
from deis_cli.errors import CliError, Lost, explain

PROTOCOL = "deis.run.v1"
STDOUT, STDERR = 1, 2


class Console(Protocol):
    """This end of a running command."""

    tty: bool

    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        ...

    def output(self, data: bytes, channel: int) -> None:
        """What the command printed."""
        ...

    def input(self) -> AsyncIterator[bytes]:
        """What is typed or piped in, until its end."""
        ...

    def resized(self) -> AsyncIterator[tuple[int, int]]:
        """New sizes of the terminal as they come."""
        ...


class _Control(msgspec.Struct, frozen=True, kw_only=True):
    type: str
    window: int = 0
    bytes: int = 0
    code: int = 0
    status: int = 0
    body: msgspec.Raw = msgspec.Raw(b"null")
    reason: str = ""


class _Window:
    """How much input may be on its way: the gateway names a window and tells what it handed on.

    A program that reads nothing would otherwise stop the socket, its pings included.
    """

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._size: float = 0
        self._taken = 0
        self._sent = 0

    def hear(self, control: _Control) -> None:
        """`started` opens it, without a size for ever; `taken` moves it."""
        if control.type == "started":
            self._size = control.window or float("inf")
        self._taken = max(self._taken, control.bytes)
        self._open.set()

    async def room(self, size: int) -> None:
        """Wait until the next bytes may go."""
        while self._sent >= self._taken + self._size:
            self._open.clear()
            await self._open.wait()
        self._sent += size


async def blocking(api: Api, app: str, command: str) -> models.RunResult:
    """Run it and wait for everything it printed: the original's way."""
    reply = await api.send("POST", path(app, "run"), {"command": command})
    return reply.decode(models.RunResult)


async def streamed(api: Api, app: str, command: str, console: Console) -> int | None:
    """Run it with its streams joined to the console; gives its exit code.

    None where the controller cannot stream: nothing was started then.
    """
    socket = await _connect(api, app)
    if socket is None:
        return None
    columns, rows = console.size()
    start = {"command": command, "tty": console.tty, "columns": columns, "rows": rows}
    feeders: list[asyncio.Task[None]] = []
    window = _Window()
    async with socket:
        await socket.send_json({"type": "start", **start})
        try:
            feeders.append(asyncio.create_task(_feed(socket, console, window)))
            if console.tty:
                feeders.append(asyncio.create_task(_resize(socket, console)))
            return await _listen(socket, console, window)
        finally:
            for feeder in feeders:
                feeder.cancel()
            await asyncio.gather(*feeders, return_exceptions=True)


async def _connect(api: Api, app: str) -> aiohttp.ClientWebSocketResponse | None:
    url = api.url(path(app, "run"))
    try:
        return await api.http.ws_connect(
            url,
            protocols=(PROTOCOL,),
            headers=api.headers(),
            proxy=api.proxy(),
            heartbeat=20.0,
            max_msg_size=1024 * 1024,
        )
    except aiohttp.WSServerHandshakeError:
        return None
    except aiohttp.ClientError as fault:
        raise Lost(str(fault), sent=False) from fault


async def _listen(
    socket: aiohttp.ClientWebSocketResponse, console: Console, window: _Window
) -> int:
    async for message in socket:
        if message.type is aiohttp.WSMsgType.BINARY:
            data: bytes = message.data
            console.output(data[1:], data[0])
        elif message.type is aiohttp.WSMsgType.TEXT:
            control = msgspec.json.decode(message.data, type=_Control)
            if control.type == "exit":
                return control.code
            if control.type in ("started", "taken"):
                window.hear(control)
            if control.type == "refused":
                raise explain(control.status, bytes(control.body))
            if control.type == "cancel":
                raise CliError(f"The command was ended: {control.reason or 'no reason given'}")
    raise Lost("the connection was lost; the command was ended with it", sent=True)


async def _feed(socket: aiohttp.ClientWebSocketResponse, console: Console, window: _Window) -> None:
    async for data in console.input():
        await window.room(len(data))
        await socket.send_bytes(b"\0" + data)
    await _control(socket, type="end")


async def _resize(socket: aiohttp.ClientWebSocketResponse, console: Console) -> None:
    async for columns, rows in console.resized():
        await _control(socket, type="resize", columns=columns, rows=rows)


async def _control(socket: aiohttp.ClientWebSocketResponse, **message: Any) -> None:
    await socket.send_json(message)
