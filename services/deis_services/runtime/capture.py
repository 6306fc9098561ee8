"""What an instance prints, as log lines: bounded, paced, and never in its way (DESIGN 9)."""

import asyncio
from collections.abc import Callable

from deis_bus.contracts.logs import MAX_LINE_BYTES

CHUNK_BYTES = 64 * 1024
WINDOW_SECONDS = 0.05
WINDOW_COST = 200
"""A flood is read no faster than this; then it waits in its pipe, as with any slow reader."""
BYTES_PER_COST = 512

Sink = Callable[[bytes], None]


class Lines:
    """Cuts bytes into lines of at most 16 KB; a longer line becomes several."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are finished now, without their newlines."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        found = [part for line in whole for part in _parts(line.removesuffix(b"\r"))]
        while len(self._rest) >= MAX_LINE_BYTES:
            found.append(self._rest[:MAX_LINE_BYTES])
            self._rest = self._rest[MAX_LINE_BYTES:]
        return found

    def end(self) -> list[bytes]:
        """The last line, where it had no newline."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


def _parts(line: bytes) -> list[bytes]:
    starts = range(0, max(1, len(line)), MAX_LINE_BYTES)
    return [line[start : start + MAX_LINE_BYTES] for start in starts]


async def capture(reader: asyncio.StreamReader, sink: Sink) -> None:
    """Give every line to `sink` until the end of the stream."""
    clock = asyncio.get_running_loop()
    lines = Lines()
    began, cost = clock.time(), 0
    while data := await reader.read(CHUNK_BYTES):
        for line in lines.feed(data):
            sink(line)
            cost += 1 + len(line) // BYTES_PER_COST
            if cost >= WINDOW_COST:
                await asyncio.sleep(max(0.0, began + WINDOW_SECONDS - clock.time()))
                began, cost = clock.time(), 0
    for line in lines.end():
        sink(line)
