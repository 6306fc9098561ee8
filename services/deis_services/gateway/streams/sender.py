"""A chunked answer that waits for slow clients, but not for ever."""

import asyncio

from aiohttp import web

SEND_SECONDS = 60.0
"""A client that takes nothing for this long is given up."""


class Sender:
    """A chunked answer."""

    def __init__(self, request: web.Request, kind: str, **headers: str) -> None:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        self._request = request
        self._response = web.StreamResponse(
            headers={"Content-Type": kind, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
            | given
        )

    async def open(self) -> None:
        """Send the headers."""
        await self._response.prepare(self._request)

    async def send(self, data: bytes) -> None:
        """Send bytes; raises TimeoutError or ConnectionResetError for a client that is gone."""
        async with asyncio.timeout(SEND_SECONDS):
            await self._response.write(data)

    async def close(self) -> web.StreamResponse:
        """The end of the answer."""
        await self._response.write_eof()
        return self._response
