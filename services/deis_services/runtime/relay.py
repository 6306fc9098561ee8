"""Joins a task's process to a byte stream: input, output, terminal, signals, and its end."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from deis_bus.errors import StreamClosed
from deis_bus.ports import Frame
from deis_services.runtime.spawn import Child

CHUNK = 64 * 1024
STDOUT, STDERR = 1, 2
END_OF_TRANSMISSION = b"\x04"
GRACE_SECONDS = 5.0
FLUSH_SECONDS = 30.0
"""How long a listener may take to read what was printed last."""
MAX_UNREAD = 8 * 1024 * 1024
"""Input that a process has not read yet; only then the stream is made to wait. So much, because
while it waits its cancellation goes unseen."""
SIGNALS = ("INT", "TERM", "HUP", "QUIT", "KILL", "USR1", "USR2", "CONT", "TSTP")


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What ends a task, and with which words."""

    seconds: float
    late: str
    output_bytes: int = 0
    """0: flow control is bound enough."""
    too_much: str = ""
    hangs_up: bool = False
    """It ends with its listener, as a program does whose terminal goes away. Else a listener
    that is lost changes nothing; only one that cancels ends it."""


class Line(Protocol):
    """What a relay needs of a byte stream."""

    async def send(self, data: bytes, channel: int = 1) -> None:
        """Output. Raises StreamClosed where nobody hears it any more."""

    def frames(self) -> AsyncIterator[Frame]:
        """Input and orders. Raises StreamClosed where the other end was lost."""
        ...


@dataclass(frozen=True)
class End:
    """How a task ended: by itself with a code, or because of `words`."""

    code: int
    words: str = ""


class Relay:
    """One child and one stream."""

    def __init__(self, child: Child, stream: Line, bounds: Bounds) -> None:
        self._child = child
        self._stream = stream
        self._bounds = bounds
        self._printed = 0
        self._full = asyncio.Event()
        self._heard = True

    async def run(self) -> End:
        """Until the process has ended, all of it is gone, and its output is sent."""
        pumps = [_start(self._pump(self._child.stdout, STDOUT))]
        pumps.append(_start(self._pump(self._child.stderr, STDERR)))
        try:
            end = await self._end()
            await self._child.bury()
            await asyncio.wait(pumps, timeout=FLUSH_SECONDS)
        finally:
            await self._child.bury()
            await _cancel(*pumps)
        return end

    async def _end(self) -> End:
        ended, inward = _start(self._child.wait()), _start(self._inward())
        full = _start(self._full.wait())
        waiting: set[asyncio.Task[Any]] = {ended, inward, full}
        try:
            async with asyncio.timeout(self._bounds.seconds):
                while True:
                    done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                    if full in done:
                        return End(1, self._bounds.too_much)
                    if ended in done:
                        return End(ended.result())
                    if inward.result() or self._bounds.hangs_up:
                        return End(await self._ask_to_end())
        except TimeoutError:
            return End(1, self._bounds.late)
        finally:
            await _cancel(ended, inward, full)

    async def _ask_to_end(self) -> int:
        self._child.signal(signal.SIGHUP if self._bounds.hangs_up else signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_SECONDS):
                await self._child.wait()
        await self._child.bury()
        return await self._child.wait()

    async def _pump(self, reader: asyncio.StreamReader | None, channel: int) -> None:
        while reader is not None and (data := await _read(reader)):
            room = self._bounds.output_bytes - self._printed
            self._printed += len(data)
            if self._bounds.output_bytes and len(data) > room:
                self._full.set()
                data = data[: max(0, room)]
            await self._send(data, channel)

    async def _send(self, data: bytes, channel: int) -> None:
        """What nobody hears is read all the same, so that the process goes on."""
        if not self._heard:
            return
        try:
            await self._stream.send(data, channel)
        except StreamClosed:
            self._heard = False

    async def _inward(self) -> bool:
        """Until the other end has gone: True when it said so, False when it was lost."""
        try:
            async for frame in self._stream.frames():
                if frame.kind in ("cancel", "exit"):
                    return True
                await self._take(frame)
        except StreamClosed:
            return False
        return True

    async def _take(self, frame: Frame) -> None:
        if frame.kind == "resize":
            self._child.resize(frame.columns, frame.rows)
        elif frame.kind == "signal" and frame.text.removeprefix("SIG") in SIGNALS:
            self._child.signal(signal.Signals[f"SIG{frame.text.removeprefix('SIG')}"])
        elif frame.kind in ("data", "end"):
            # A program that has closed its input is no fault.
            with contextlib.suppress(ConnectionError, RuntimeError):
                await self._input(frame)

    async def _input(self, frame: Frame) -> None:
        stdin = self._child.stdin
        if stdin is None:
            return
        if frame.kind == "data":
            stdin.write(frame.data)
        elif self._child.stderr is None:  # a terminal stays open for its output
            stdin.write(END_OF_TRANSMISSION)
        else:
            stdin.close()
        if stdin.transport.get_write_buffer_size() > MAX_UNREAD:
            await stdin.drain()


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(CHUNK)
    except OSError:  # how a terminal says that nobody holds its other end any more
        return b""


def _start(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.create_task(work)


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # seen: it came too late to matter
