"""One-off commands: the original's one answer at the end (api.md 11)."""

import contextlib

import msgspec
from aiohttp import web

from deis_bus.clock import new_id
from deis_bus.contracts.http import ApiCall
from deis_bus.errors import StreamClosed
from deis_bus.ports import ByteStream
from deis_platform.races import first
from deis_services.gateway.answers import away, of_answer, problem
from deis_services.gateway.streams.open_streams import Streams

OUTPUT_LIMIT = 1024 * 1024
CUT = "\n[the output is longer than 1 MB; the rest was left out]\n"


class Ran:
    """What a command printed so far, bounded, and how it ended."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._cut = False
        self.code: int | None = None
        self.reason = ""

    async def collect(self, stream: ByteStream) -> None:
        """Read until the command ends."""
        try:
            async for frame in stream.frames():
                if frame.kind == "data":
                    self._keep(frame.data)
                elif frame.kind == "exit":
                    self.code = frame.code
                elif frame.kind == "cancel":
                    self.reason = frame.text
        except StreamClosed as fault:
            self.reason = str(fault) or "the runtime is gone"

    def _keep(self, data: bytes) -> None:
        room = OUTPUT_LIMIT - self._size
        self._parts.append(data[:room])
        self._size += len(data[:room])
        self._cut = self._cut or len(data) > room

    @property
    def output(self) -> str:
        """As text; a note tells what was left out."""
        return b"".join(self._parts).decode(errors="replace") + (CUT if self._cut else "")


class _Started(msgspec.Struct, frozen=True):
    instance: str = ""


async def run(streams: Streams, _: web.Request, call: ApiCall) -> web.StreamResponse:
    """`POST …/run`: waits for the command, answers exit code and output.

    Like any change it is finished whether or not its client waits (DESIGN 5).
    """
    return await streams.detached.run(_run(streams, call))


async def _run(streams: Streams, call: ApiCall) -> web.Response:
    with streams.room(call):
        stream = await streams.bus.open_stream(new_id(), "opener")
        try:
            appuuid = await streams.identity(call)
            answer = await streams.calls.ask(msgspec.structs.replace(call, stream=stream.id))
            if answer.status != 200:
                return of_answer(answer)
            started = msgspec.json.decode(bytes(answer.body), type=_Started)
            ran = Ran()
            await _follow(streams, call, stream, ran, appuuid)
        finally:
            await stream.close()
    if ran.code is None:
        raise problem(503, f"{started.instance} (run): {ran.reason or 'the command was lost'}")
    body = msgspec.json.encode({"exit_code": ran.code, "output": ran.output})
    return web.Response(body=body, content_type="application/json")


async def _follow(
    streams: Streams, call: ApiCall, stream: ByteStream, ran: Ran, appuuid: str
) -> None:
    """Until the command ends. Raises Problem when the right or the gateway ends before."""
    revoked = streams.revoked(call, call.path["app"], appuuid)
    ended = await first(_whole(stream, ran), revoked, streams.stopping())
    if ended == 1:
        await stream.cancel("the right was revoked")
        raise problem(403, "You do not have permission to perform this action.")
    if ended == 2:
        await stream.cancel("the gateway stops")
        raise away()


async def _whole(stream: ByteStream, ran: Ran) -> None:
    with contextlib.suppress(StreamClosed):  # it may have ended already
        await stream.end_input()
    await ran.collect(stream)
