"""One-off commands over a WebSocket: bytes both ways, as they come (DESIGN 5).

Binary frames are a channel byte and data: 0 input, 1 output, 2 errors. Text frames are JSON:
first `{"type": "start", "command": …, "tty", "columns", "rows"}` from the client, then from it
`end`, `resize` and `signal`, and to it `started` with the `window` of its input, `taken` with the
bytes of it so far, one of `exit`, `cancel` or `refused` at the end.
"""

import asyncio
import contextlib

import msgspec
from aiohttp import WSMsgType, web

from deis_bus.clock import new_id
from deis_bus.contracts.http import ApiAnswer, ApiCall
from deis_bus.errors import Refused, StreamClosed, Transient
from deis_bus.ports import ByteStream
from deis_platform.races import first
from deis_services.gateway.answers import Problem, away
from deis_services.gateway.streams.open_streams import Streams
from deis_services.gateway.streams.run_input import WINDOW_BYTES, Input
from deis_services.gateway.streams.sender import SEND_SECONDS

PROTOCOL = "deis.run.v1"
START_SECONDS = 15.0
HEARTBEAT_SECONDS = 20.0
_REASONS = ("", "the client is gone", "the right was revoked", "the gateway stops")
"""Why a command is ended, by which part of `_join` came to its end."""
MAX_MESSAGE = 256 * 1024 + 1


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """The first frame of the client."""

    type: str
    command: msgspec.Raw = msgspec.Raw(b"null")
    tty: bool = False
    columns: int = 80
    rows: int = 24


async def run_socket(streams: Streams, request: web.Request, call: ApiCall) -> web.StreamResponse:
    """Join a WebSocket to a command's byte stream."""
    socket = web.WebSocketResponse(
        heartbeat=HEARTBEAT_SECONDS, max_msg_size=MAX_MESSAGE, protocols=(PROTOCOL,)
    )
    allowed = await _allowed(streams, call)
    if isinstance(allowed, ApiAnswer):
        # Not counted: who may not run anything must not take the room of those who may.
        await socket.prepare(request)
        await _refuse(socket, allowed.status, bytes(allowed.body))
        return socket
    with streams.room(call):
        await socket.prepare(request)
        start = await _start(socket)
        if start is None:
            await _refuse(socket, 400, msgspec.json.encode({"detail": "a start frame is missing"}))
            return socket
        stream = await streams.bus.open_stream(new_id(), "opener")
        try:
            answer = await _ask(streams, call, start, stream.id)
            if answer.status != 200:
                await _refuse(socket, answer.status, bytes(answer.body) or b"null")
                return socket
            await socket.send_json({"type": "started", "window": WINDOW_BYTES})
            await _join(streams, call, socket, stream, allowed)
        finally:
            await stream.close()
            await socket.close()
    return socket


async def _allowed(streams: Streams, call: ApiCall) -> str | ApiAnswer:
    """The application's identity, asked for before the first frame is waited for, or why not."""
    try:
        return (await streams.rights.check(call.token, call.endpoint, call.path["app"])).appuuid
    except Refused as fault:
        return _answer(fault.code, {"detail": fault.detail})
    except Transient:
        problem = away()
        return _answer(problem.status, problem.body)


def _answer(status: int, body: object) -> ApiAnswer:
    return ApiAnswer(status=status, body=msgspec.Raw(msgspec.json.encode(body)))


async def _start(socket: web.WebSocketResponse) -> Start | None:
    try:
        message = await socket.receive(START_SECONDS)
        if message.type is not WSMsgType.TEXT:
            return None
        start = msgspec.json.decode(message.data, type=Start)
    except (TimeoutError, msgspec.MsgspecError):
        return None
    return start if start.type == "start" else None


async def _ask(streams: Streams, call: ApiCall, start: Start, stream: str) -> ApiAnswer:
    body = {
        "command": start.command,
        "tty": start.tty,
        "columns": start.columns,
        "rows": start.rows,
    }
    raw = msgspec.Raw(msgspec.json.encode(body))
    try:
        return await streams.calls.ask(msgspec.structs.replace(call, body=raw, stream=stream))
    except Problem as fault:
        return _answer(fault.status, fault.body)


async def _refuse(socket: web.WebSocketResponse, status: int, body: bytes) -> None:
    told = {"type": "refused", "status": status, "body": msgspec.Raw(body)}
    await socket.send_str(msgspec.json.encode(told).decode())
    await socket.close()


async def _join(
    streams: Streams,
    call: ApiCall,
    socket: web.WebSocketResponse,
    stream: ByteStream,
    appuuid: str,
) -> None:
    """Until the command ends, the client goes, or its right does."""
    given = Input(socket, stream)
    try:
        ended = await first(
            _outward(stream, socket),
            given.receive(),
            streams.revoked(call, call.path["app"], appuuid),
            streams.stopping(),
            given.hand_on(),
        )
        reason = _REASONS[ended]
    except StreamClosed as fault:
        reason = str(fault) or "the runtime is gone"
    except (ConnectionError, TimeoutError):
        reason = _REASONS[1]
    if not reason:
        return
    await stream.cancel(reason)
    if not socket.closed:
        with contextlib.suppress(ConnectionError):
            await socket.send_json({"type": "cancel", "reason": reason})


async def _outward(stream: ByteStream, socket: web.WebSocketResponse) -> None:
    async for frame in stream.frames():
        async with asyncio.timeout(SEND_SECONDS):
            if frame.kind == "data":
                await socket.send_bytes(bytes([frame.channel]) + frame.data)
            elif frame.kind == "exit":
                await socket.send_json({"type": "exit", "code": frame.code})
            elif frame.kind == "cancel":
                await socket.send_json({"type": "cancel", "reason": frame.text})
