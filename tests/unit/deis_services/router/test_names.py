"""The name server on loopback."""

import asyncio
import struct

import pytest

from deis_services.router.names import name_server
from deis_services.router.pools import PodPool
from tests.unit.deis_services.router.test_zone import SRV, A, query, records


async def over_udp(address: str, message: bytes) -> bytes:
    host, _, port = address.rpartition(":")
    answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    class Once(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            answer.set_result(data)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        Once, remote_addr=(host, int(port))
    )
    try:
        transport.sendto(b"nonsense")  # is not answered, and does no harm
        transport.sendto(message)
        return await answer
    finally:
        transport.close()


async def test_it_answers_over_udp_and_tcp() -> None:
    pool = PodPool()
    pool.hold(pool.target("10.0.0.1:5000"))
    shard = next(number for number in range(128) if pool.ports(number))
    async with name_server(pool) as address:
        told = await over_udp(address, query(f"_http._tcp.g{shard}.pool", SRV))
        assert len(records(told)) == 1
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for _ in range(2):
            message = query(f"p5000.g{shard}.pool", A)
            writer.write(struct.pack("!H", len(message)) + message)
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            assert records(await reader.readexactly(length))[0][3] == bytes([10, 0, 0, 1])
        writer.write(b"\0\1x")
        with pytest.raises(asyncio.IncompleteReadError):
            await reader.readexactly(1)
        writer.close()


async def test_two_have_ports_of_their_own() -> None:
    async with name_server(PodPool()) as one, name_server(PodPool()) as two:
        assert one != two
