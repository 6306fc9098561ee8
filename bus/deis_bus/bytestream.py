"""Byte streams over any bus: frames, a credit window, keep-alives (DESIGN 4, Byte streams).

Each end subscribes to its own subject and sends to the other's. A frame is one byte of kind, 8
bytes of number, and a body. Core messages may be lost with a connection, so frames are
numbered: a hole breaks the stream instead of leaving bytes out. A sender has at most `WINDOW`
bytes on the way; the reader gives credit as it takes them, so a slow reader stops the writer
and neither end holds more than a window. The opener's first bytes wait for the acceptor's
`hello`, since only then somebody hears them.
"""

import asyncio
import contextlib
import struct
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator

import msgspec

from deis_bus import subjects
from deis_bus.errors import BusError, StreamClosed
from deis_bus.ports import Bus, Frame, Received

FRAME_BYTES = 256 * 1024
WINDOW_BYTES = 4 * FRAME_BYTES
MIN_COST = 512
"""What a frame of data takes of the window at least, so that tiny ones are bounded too."""
MAX_FRAMES = 4096
"""Frames that may wait for a reader, control frames included; more is a broken peer."""
ALIVE_SECONDS = 5.0
IDLE_SECONDS = 20.0
HEAD = struct.Struct(">cQ")
NUMBER = struct.Struct(">Q")
SIDES = {"opener": "acceptor", "acceptor": "opener"}

DATA, END, EXIT, RESIZE, SIGNAL, CANCEL = b"D", b"E", b"X", b"R", b"S", b"C"
CREDIT, HELLO, ALIVE = b"W", b"H", b"K"
_KINDS = {END: "end", EXIT: "exit", RESIZE: "resize", SIGNAL: "signal", CANCEL: "cancel"}
_UNNUMBERED = (CREDIT, HELLO, ALIVE)


class _Control(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every frame but data."""

    code: int = 0
    columns: int = 0
    rows: int = 0
    text: str = ""


class StreamEnd:
    """One end of a byte stream; see `deis_bus.ports.ByteStream` for the methods."""

    def __init__(
        self,
        bus: Bus,
        stream_id: str,
        side: str,
        *,
        idle_seconds: float = IDLE_SECONDS,
        alive_seconds: float = ALIVE_SECONDS,
    ) -> None:
        self.id = stream_id
        self._bus = bus
        self._to = subjects.stream(stream_id, SIDES[side])
        self._from = subjects.stream(stream_id, side)
        self._opener = side == "opener"
        self._idle_seconds = idle_seconds
        self._alive_seconds = alive_seconds
        self._stack = contextlib.AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._frames: deque[Frame] = deque()
        self._arrived = asyncio.Event()
        self._window = asyncio.Event()
        self._sending = asyncio.Lock()
        self._met = not self._opener
        self._silent = 0
        """Keep-alives of ours since the last word of the other end."""
        self._sent_frames = 0
        self._got_frames = 0
        self._sent_bytes = 0
        self._credited = 0
        self._taken = 0
        self._told = 0
        self._unread = 0
        self._over: StreamClosed | None = None
        """Why nothing can be sent any more."""
        self._broken: StreamClosed | None = None
        """Why frames cannot go on; unset where they end well."""
        self._finished = False
        """An exit or a cancel went or came."""

    async def open(self) -> None:
        """Subscribe, and say hello where the other end is there already."""
        subscription = await self._stack.enter_async_context(self._bus.subscribe(self._from))
        self._tasks = [
            asyncio.create_task(self._listen(aiter(subscription)), name=f"stream {self.id}"),
            asyncio.create_task(self._tick(), name=f"stream {self.id} keep-alive"),
        ]
        if not self._opener:
            await self._emit(HELLO, b"")

    async def send(self, data: bytes, channel: int = 1) -> None:
        """Send bytes; waits while the window is full. Raises StreamClosed."""
        view = memoryview(data)
        async with self._sending:
            for start in range(0, len(view), FRAME_BYTES):
                piece = view[start : start + FRAME_BYTES]
                cost = max(len(piece), MIN_COST)
                await self._room(cost)
                self._sent_bytes += cost
                await self._emit(DATA, bytes((channel,)) + piece)

    async def end_input(self) -> None:
        """No more bytes from this end."""
        await self._control(END, _Control())

    async def exit(self, code: int) -> None:
        """Finished, with a code; closes."""
        await self._control(EXIT, _Control(code=code))
        self._finished = True
        await self.close()

    async def resize(self, columns: int, rows: int) -> None:
        """The terminal's size."""
        await self._control(RESIZE, _Control(columns=columns, rows=rows))

    async def signal(self, name: str) -> None:
        """A signal for the other end's program."""
        await self._control(SIGNAL, _Control(text=name))

    async def cancel(self, reason: str = "") -> None:
        """Give up, at once: a waiting send of this end fails too."""
        if self._finished:
            return
        self._finished = True
        with contextlib.suppress(BusError):
            await self._emit(CANCEL, msgspec.json.encode(_Control(text=reason)))
        self._stop(StreamClosed(reason or "cancelled"))

    async def frames(self) -> AsyncGenerator[Frame, None]:
        """Frames as they come; ends after exit or cancel. Raises StreamClosed."""
        while True:
            while self._frames:
                frame = self._frames.popleft()
                yield frame
                if frame.kind in ("exit", "cancel"):
                    return
                await self._take(_cost(frame))
            if self._broken is not None:
                raise self._broken
            if self._finished:
                return
            self._arrived.clear()
            await self._arrived.wait()

    async def close(self) -> None:
        """Free the subscription; cancels if neither end had finished."""
        if not self._finished:
            await self.cancel("closed")
        self._stop(StreamClosed("the stream is closed"))
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._stack.aclose()

    async def _control(self, kind: bytes, body: _Control) -> None:
        async with self._sending:
            await self._room(0)
            await self._emit(kind, msgspec.json.encode(body))

    async def _room(self, size: int) -> None:
        """Wait until the other end is there and its window has room."""
        while self._over is None:
            if self._met and self._sent_bytes - self._credited + size <= WINDOW_BYTES:
                return
            self._window.clear()
            await self._window.wait()
        raise self._over

    async def _emit(self, kind: bytes, body: bytes) -> None:
        if kind not in _UNNUMBERED:
            self._sent_frames += 1
        try:
            await self._bus.emit(self._to, HEAD.pack(kind, self._sent_frames) + body)
        except BusError as fault:
            if kind not in _UNNUMBERED:
                # That frame is lost and the other end will see the hole.
                self._break(f"the bus is away: {fault}")
                raise StreamClosed("the bus is away") from fault

    async def _take(self, size: int) -> None:
        """The reader took so many bytes: give credit, a quarter of the window at a time."""
        self._taken += size
        self._unread -= size
        if self._taken - self._told >= WINDOW_BYTES // 4:
            self._told = self._taken
            await self._emit(CREDIT, NUMBER.pack(self._taken))

    async def _listen(self, subscription: AsyncIterator[Received]) -> None:
        async for message in subscription:
            self._silent = 0
            try:
                self._on_frame(message.data)
            except (struct.error, msgspec.MsgspecError, LookupError) as fault:
                self._break(f"not a frame: {fault}")

    def _on_frame(self, data: bytes) -> None:
        kind, number = HEAD.unpack_from(data)
        body = data[HEAD.size :]
        expected = self._got_frames + (kind not in _UNNUMBERED)
        if number > expected:
            self._break("a frame was lost")
            return
        if kind in _UNNUMBERED:
            self._on_word(kind, body)
        elif number == expected and self._broken is None:
            self._got_frames = expected
            self._on_numbered(kind, body)

    def _on_word(self, kind: bytes, body: bytes) -> None:
        self._met = True
        if kind in (CREDIT, ALIVE):
            self._credited = max(self._credited, NUMBER.unpack(body)[0])
        self._window.set()

    def _on_numbered(self, kind: bytes, body: bytes) -> None:
        self._met = True
        if kind == DATA:
            frame = Frame("data", body[1:], body[0])
            self._unread += _cost(frame)
        else:
            control = msgspec.json.decode(body, type=_Control)
            frame = Frame(
                _KINDS[kind],
                code=control.code,
                columns=control.columns,
                rows=control.rows,
                text=control.text,
            )
        if self._unread > WINDOW_BYTES or len(self._frames) >= MAX_FRAMES:
            self._break("the other end does not keep to the window")
            return
        self._frames.append(frame)
        if kind in (EXIT, CANCEL):
            self._finished = True
            self._over = self._over or StreamClosed(frame.text or "the other end has finished")
        self._window.set()
        self._arrived.set()

    async def _tick(self) -> None:
        """Say that this end lives, and notice where the other one does not.

        Silence is counted in keep-alives of ours and not by the clock: a process that stood still
        has heard nothing meanwhile, whatever the other end said.
        """
        while True:
            await asyncio.sleep(self._alive_seconds)
            await self._emit(ALIVE, NUMBER.pack(self._taken))
            self._silent += 1
            if self._silent * self._alive_seconds > self._idle_seconds and not self._finished:
                self._break(f"nothing was heard for {self._idle_seconds:g} s")
                return

    def _break(self, why: str) -> None:
        if not self._finished:
            self._broken = self._broken or StreamClosed(why)
        self._stop(StreamClosed(why))

    def _stop(self, why: StreamClosed) -> None:
        self._over = self._over or why
        self._window.set()
        self._arrived.set()


def _cost(frame: Frame) -> int:
    return max(len(frame.data), MIN_COST) if frame.kind == "data" else 0


async def open_end(
    bus: Bus,
    stream_id: str,
    side: str,
    *,
    idle_seconds: float = IDLE_SECONDS,
    alive_seconds: float = ALIVE_SECONDS,
) -> StreamEnd:
    """Open one end; `opener` before it tells anybody the id, `acceptor` when it was told."""
    end = StreamEnd(bus, stream_id, side, idle_seconds=idle_seconds, alive_seconds=alive_seconds)
    await end.open()
    return end
