"""The name server beside nginx, on loopback: UDP and TCP on one port, for the zone of pods only."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from typing import cast

from deis_services.router import zone
from deis_services.router.pools import LOCAL, PodPool

TCP_BYTES = 65_535
SILENCE_SECONDS = 10.0
CONNECTIONS = 64
TRIES = 20


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, pool: PodPool) -> None:
        self._pool = pool
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        with contextlib.suppress(zone.BadQuery):
            if self._transport is not None:
                self._transport.sendto(zone.answer(data, self._pool, zone.UDP_BYTES), addr)


class _Streams:
    """Questions over TCP, each with its length before it."""

    def __init__(self, pool: PodPool) -> None:
        self._pool = pool
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer until the other side ends, is silent or talks nonsense."""
        self._open += 1
        try:
            with contextlib.suppress(OSError, EOFError, TimeoutError, zone.BadQuery):
                while self._open <= CONNECTIONS:
                    async with asyncio.timeout(SILENCE_SECONDS):
                        await self._one(reader, writer)
        finally:
            self._open -= 1
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        text = zone.answer(await reader.readexactly(length), self._pool, TCP_BYTES)
        writer.write(struct.pack("!H", len(text)) + text)
        await writer.drain()


@contextlib.asynccontextmanager
async def name_server(pool: PodPool) -> AsyncIterator[str]:
    """A name server for the pool while the context lasts; gives its `host:port`. Raises OSError."""
    transport, server = await _bound(pool)
    try:
        yield "{}:{}".format(*transport.get_extra_info("sockname")[:2])
    finally:
        transport.close()
        server.close()


async def _bound(pool: PodPool) -> tuple[asyncio.DatagramTransport, asyncio.Server]:
    """On a port that is free for both. Raises OSError."""
    loop = asyncio.get_running_loop()
    for last in (*[False] * TRIES, True):
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(pool), local_addr=(LOCAL, 0)
        )
        port = transport.get_extra_info("sockname")[1]
        try:
            return transport, await asyncio.start_server(_Streams(pool).serve, LOCAL, port)
        except OSError:
            transport.close()
            if last:
                raise
    raise AssertionError("the last try returns or raises")
