"""This machine's terminal or pipes as the near end of a remote command."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator

from deis_cli.state import State

CHUNK = 32 * 1024


class LocalConsole:
    """Standard input and output; raw while a terminal is joined to a remote one."""

    def __init__(self, state: State, *, tty: bool) -> None:
        self.tty = tty
        self._state = state

    def size(self) -> tuple[int, int]:
        """Columns and rows of the terminal."""
        size = shutil.get_terminal_size()
        return min(max(size.columns, 1), 1000), min(max(size.lines, 1), 1000)

    def output(self, data: bytes, channel: int) -> None:
        """Standard error goes to standard error."""
        self._state.screen.raw(data, error=channel == 2)

    async def input(self) -> AsyncIterator[bytes]:
        """Standard input as it comes; read by a thread that never holds up our end."""
        descriptor = _descriptor(self._state)
        if descriptor is None:
            return
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        room = threading.Semaphore(16)

        def pump() -> None:
            while True:
                room.acquire()
                try:
                    data = os.read(descriptor, CHUNK)
                except OSError:
                    data = b""
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(queue.put_nowait, data)
                if not data:
                    return

        threading.Thread(target=pump, daemon=True, name="stdin").start()
        while data := await queue.get():
            room.release()
            yield data

    async def resized(self) -> AsyncIterator[tuple[int, int]]:
        """The terminal's new sizes."""
        changed = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGWINCH, changed.set)
        try:
            while True:
                await changed.wait()
                changed.clear()
                yield self.size()
        finally:
            loop.remove_signal_handler(signal.SIGWINCH)


def _descriptor(state: State) -> int | None:
    try:
        return state.stdin.fileno()
    except (OSError, ValueError, AttributeError):
        return None


@contextlib.contextmanager
def raw(*, wanted: bool) -> Iterator[None]:
    """The terminal without line editing and signals of its own, put back at the end."""
    if not wanted:
        yield
        return
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
