"""Pipes and terminals as transports, each descriptor closed exactly once whatever the loop.

uvloop closes a pipe's descriptor itself and then closes the file object it was given, which by
then may own somebody else's descriptor (MagicStack/uvloop#763); asyncio's own loop closes the
file object only. So the object that is handed over owns the descriptor on one and not on the other.
"""

import asyncio
import os
from collections.abc import Callable
from typing import IO, TypeVar

P = TypeVar("P", bound=asyncio.BaseProtocol)
HIGH_WATER = 64 * 1024
"""Bytes that may wait before the writer is asked to."""


async def read_pipe(factory: Callable[[], P], descriptor: int) -> tuple[asyncio.ReadTransport, P]:
    """A transport that reads; it owns the descriptor from now on. Raises OSError, ValueError."""
    loop = asyncio.get_running_loop()
    return await loop.connect_read_pipe(factory, pipe_file(descriptor, "rb"))


async def write_pipe(factory: Callable[[], P], descriptor: int) -> tuple[asyncio.WriteTransport, P]:
    """A transport that writes; it owns the descriptor from now on. Raises OSError, ValueError."""
    loop = asyncio.get_running_loop()
    return await loop.connect_write_pipe(factory, pipe_file(descriptor, "wb"))


def pipe_file(descriptor: int, mode: str) -> IO[bytes]:
    """What to hand to a library that makes a transport of it, in the running loop."""
    closes_by_itself = type(asyncio.get_running_loop()).__module__.startswith("uvloop")
    return os.fdopen(descriptor, mode, 0, closefd=not closes_by_itself)


class TerminalInput(asyncio.WriteTransport):
    """Writes to a terminal and never reads from it; it owns the descriptor from now on.

    uvloop's own transport reads from what it writes to, to notice its end: a terminal's output,
    which comes by the same way, would be lost there.
    """

    def __init__(self, descriptor: int, protocol: asyncio.streams.FlowControlMixin) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._descriptor = descriptor
        self._protocol = protocol
        self._waiting = bytearray()
        self._paused = False
        self._closing = False
        os.set_blocking(descriptor, False)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send it as soon as there is room."""
        if self._closing or not data:
            return
        if not self._waiting:
            self._loop.add_writer(self._descriptor, self._send)
        self._waiting += data
        if len(self._waiting) > HIGH_WATER and not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        """Bytes that wait."""
        return len(self._waiting)

    def is_closing(self) -> bool:
        """Whether nothing more is taken."""
        return self._closing

    def close(self) -> None:
        """Close it once all is sent."""
        if not self._closing:
            self._closing = True
            self._when_empty()

    def abort(self) -> None:
        """Close it now; what waits is lost."""
        self._closing = True
        self._waiting.clear()
        self._when_empty()

    def _send(self) -> None:
        try:
            del self._waiting[: os.write(self._descriptor, self._waiting)]
        except BlockingIOError:
            return
        except OSError:  # nobody holds its other end any more
            self.abort()
            return
        self._when_empty()

    def _when_empty(self) -> None:
        if self._waiting or self._descriptor < 0:
            return
        self._loop.remove_writer(self._descriptor)
        if self._paused:
            self._paused = False
            self._protocol.resume_writing()
        if self._closing:
            os.close(self._descriptor)
            self._descriptor = -1
            self._loop.call_soon(self._protocol.connection_lost, None)
