"""What a build has printed, for whoever listens, and listens again (DESIGN 9: an outage ends no build).

A byte stream does not outlive an outage of the bus; a build does. So its output is kept, bounded
by the build's own limit, and a listener whose stream was lost hears it on from where it was.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from deis_bus.errors import BusError, StreamClosed
from deis_bus.ports import ByteStream, Frame
from deis_services.runtime.relay import End


class Spool:
    """The stream that a build's relay writes to (`relay.Line`), played to real ones."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._end: End | None = None
        self._more = asyncio.Event()
        self._given_up = asyncio.Event()
        self._listener: ByteStream | None = None

    async def send(self, data: bytes, channel: int = 1) -> None:
        """Keep it."""
        self._kept += data
        self._more.set()

    async def frames(self) -> AsyncIterator[Frame]:
        """Nothing, until the listener gives the build up."""
        await self._given_up.wait()
        yield Frame("cancel")

    def expect(self) -> None:
        """Another listener is on its way: the present one no longer counts, nor does its end."""
        self._listener = None
        self._more.set()

    def finish(self, end: End) -> None:
        """Nothing more comes."""
        self._end = end
        self._more.set()

    async def play(self, stream: ByteStream, heard: int) -> None:
        """Send what is kept from that byte on, what comes, and the end; the newest listener counts."""
        self._listener = stream
        self._more.set()
        hearing = asyncio.create_task(self._hear(stream))
        try:
            with contextlib.suppress(BusError):
                await self._send(stream, heard)
        finally:
            hearing.cancel()
            await asyncio.wait({hearing})

    async def _send(self, stream: ByteStream, heard: int) -> None:
        while self._listener is stream:
            self._more.clear()
            if data := bytes(self._kept[heard:]):
                await stream.send(data)
                heard += len(data)
            elif self._end is None:
                await self._more.wait()
            elif self._end.words:
                await stream.cancel(self._end.words)
                return
            else:
                await stream.exit(self._end.code)
                return

    async def _hear(self, stream: ByteStream) -> None:
        """A listener that gives up ends the build; one that is lost or was replaced does not."""
        with contextlib.suppress(StreamClosed):
            async for frame in stream.frames():
                if frame.kind in ("cancel", "exit") and self._listener is stream:
                    self._given_up.set()
