"""What a test hears of a one-off command or a build over its byte stream."""

import asyncio
import contextlib
from dataclasses import dataclass, field

from deis_bus.errors import StreamClosed
from deis_bus.ports import ByteStream


@dataclass
class Heard:
    """What came out of a stream."""

    out: bytes = b""
    err: bytes = b""
    code: int | None = None
    reason: str = ""
    first: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self, stream: ByteStream) -> "Heard":
        try:
            async for frame in stream.frames():
                if frame.kind == "data" and frame.channel == 2:
                    self.err += frame.data
                elif frame.kind == "data":
                    self.out += frame.data
                    self.first.set()
                elif frame.kind == "exit":
                    self.code = frame.code
                elif frame.kind == "cancel":
                    self.reason = frame.text
        except StreamClosed as fault:
            self.reason = str(fault)
        return self


async def lose(stream: ByteStream) -> None:
    """The other end sends what no end would: as if frames had been lost on the way."""
    heard = Heard()
    listening = asyncio.create_task(heard.listen(stream))
    await heard.first.wait()
    stream._sent_frames += 1  # type: ignore[attr-defined]
    with contextlib.suppress(StreamClosed):
        await stream.send(b"x", 0)
    listening.cancel()
    await asyncio.wait({listening})
