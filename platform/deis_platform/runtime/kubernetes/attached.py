"""A web socket to a container's input and outputs, as two plain directions.

Protocol v5.channel.k8s.io: each binary message begins with the number of its channel.
"""

import contextlib
from collections.abc import AsyncGenerator

import aiohttp
import msgspec

from deis_bus.errors import Transient

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
PIECE = 32 * 1024


class _End(msgspec.Struct, frozen=True):
    """What the last message says; not how the program ended."""

    status: str = ""
    message: str = ""


class Attached:
    """One open attachment; `close` it at the end."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def output(self) -> AsyncGenerator[tuple[int, bytes], None]:
        """Channel and bytes as they come, until the container has ended. Raises Transient when
        the connection was lost before that: only an end that is told is one."""
        async for message in self._socket:
            if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                continue
            channel, data = message.data[0], message.data[1:]
            if channel in (STDOUT, STDERR) and data:
                yield channel, data
            elif channel == ERROR:
                end = msgspec.json.decode(data, type=_End)
                if end.status != "Success":
                    raise Transient(f"the attachment failed: {end.message[:200]}")
                return
        raise Transient("the attachment was lost")

    async def send(self, data: bytes) -> None:
        """Input. Raises Transient when nobody takes it any more."""
        for start in range(0, len(data), PIECE):
            await self._send(bytes((STDIN,)) + data[start : start + PIECE])

    async def end_input(self) -> None:
        """No more input: the program reads to the end of it."""
        await self._send(bytes((CLOSE, STDIN)))

    async def resize(self, columns: int, rows: int) -> None:
        """The terminal's size."""
        size = msgspec.json.encode({"Width": columns, "Height": rows})
        await self._send(bytes((RESIZE,)) + size)

    async def close(self) -> None:
        """Let go."""
        with contextlib.suppress(aiohttp.ClientError, OSError):
            await self._socket.close()

    async def _send(self, message: bytes) -> None:
        try:
            await self._socket.send_bytes(message)
        except (aiohttp.ClientError, OSError) as fault:
            raise Transient("the attachment was lost") from fault
