"""The chart's NATS: its configuration from `deis-platform nats-configuration`, TLS, own users."""

import asyncio
import contextlib
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from deis_bus.users import SERVICES
from deis_platform.buses import open_bus
from deis_platform.embedded import binaries
from deis_platform.embedded.ports import free_port
from deis_platform.groups import BusSettings
from deis_services.main import main
from deis_services.platform_cli import bus_users, certificate
from deis_services.platform_cli.automations import FILE, Kept, encoded
from integration.servers import nats_server, until

pytestmark = pytest.mark.server


class Files:
    """What the chart mounts, and the file that the first container writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.monitor = free_port(), free_port()
        self.passwords, self.tls = folder / "passwords", folder / "tls"
        self.automations = folder / "automations"
        for place in (self.passwords, self.tls, self.automations):
            place.mkdir()
        for name in SERVICES:
            (self.passwords / name).write_text(f"{name}-secret\n")
        certificate.ensure(self.tls / "tls.crt", self.tls / "tls.key", "localhost")

    def words(self) -> list[str]:
        """`nats-configuration` and its options."""
        words = ["--passwords", self.passwords, "--tls", self.tls, "--store", self.folder / "store"]
        words += ["--listen", f"127.0.0.1:{self.port}", "--output", self.folder / "nats.conf"]
        words += ["--monitor", f"127.0.0.1:{self.monitor}", "--automations", self.automations]
        return ["nats-configuration", *map(str, words)]

    def configure(self, *more: str) -> int:
        """`deis-platform nats-configuration`; its exit code."""
        with pytest.raises(SystemExit) as end:
            main([*self.words(), *more])
        return int(str(end.value.code))

    def keep(self, *kept: Kept) -> None:
        """What `deis-platform automation` leaves in the Secret, exchanged as the kubelet does."""
        draft = self.folder / "draft"
        draft.write_bytes(encoded(kept))
        draft.replace(self.automations / FILE)

    async def lets_in(self, kept: Kept) -> bool:
        """Whether the server takes that automation."""
        url, ca_file = f"tls://localhost:{self.port}", str(self.tls / "tls.crt")
        return await bus_users.lets_in(url, f"automation-{kept.name}", kept.password, ca_file)

    def settings(self, user: str, **others: str) -> BusSettings:
        """Of a service that trusts the certificate."""
        chosen = {
            "url": f"tls://localhost:{self.port}",
            "user": user,
            "password_file": str(self.passwords / user),
            "ca_file": str(self.tls / "tls.crt"),
        }
        return BusSettings(**{**chosen, **others})


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def server(files: Files) -> Iterator[Path]:
    """NATS as the chart runs it; gives its log."""
    assert files.configure() == 0
    with running(files) as log:
        yield log


@contextmanager
def running(files: Files) -> Iterator[Path]:
    """NATS with that configuration; gives its log."""
    log = files.folder / "nats.log"
    command = [str(binaries.nats_server()), "--config", str(files.folder / "nats.conf")]
    with log.open("wb") as out, subprocess.Popen(command, stderr=out) as process:
        yield log
        process.terminate()


@pytest.fixture
def follower(files: Files) -> Iterator[None]:
    """`nats-configuration --follow`, in a process of its own, as the chart runs it."""
    command = [sys.executable, "-P", "-m", "deis_services.main", *files.words(), "--follow"]
    with subprocess.Popen(command) as process:
        yield
        process.terminate()


HERALD = Kept(name="herald", password="herald-secret")
EDITOR = Kept(name="editor", app="blog", appuuid="u1", password="editor-secret")


@pytest.mark.usefixtures("server", "follower")
async def test_automations_come_and_go_while_the_server_runs(files: Files) -> None:
    """Whoever is connected stays so; what is damaged in the file takes no service along."""
    async with open_bus(files.settings("gateway"), "gateway") as bus:
        await until(bus.ready, "the bus is ready")
        files.keep(HERALD)
        await until(lambda: files.lets_in(HERALD), "herald is let in")
        files.keep(HERALD, EDITOR)
        await until(lambda: files.lets_in(EDITOR), "editor too")
        assert await files.lets_in(HERALD)
        with pytest.raises(Exception, match="no right to publish"):
            await bus.request("$JS.API.CONSUMER.MSG.NEXT.EVENTS.automation-herald", b"", {}, 5.0)
        (files.automations / FILE).write_bytes(b"[{")
        await until(lambda: refuses(files, EDITOR), "nobody of a damaged file is let in")
        assert await bus.ready()
        files.keep(EDITOR)
        await until(lambda: files.lets_in(EDITOR), "editor again")
        (files.automations / FILE).unlink()
        await until(lambda: refuses(files, EDITOR), "with the Secret they go")
    assert await lets_in(files.settings("controller"))


async def test_a_server_that_starts_again_knows_its_automations(files: Files) -> None:
    files.keep(HERALD)
    assert files.configure() == 0
    with running(files):
        await until(lambda: files.lets_in(HERALD), "herald is let in")


async def refuses(files: Files, kept: Kept) -> bool:
    """The other way round."""
    return not await files.lets_in(kept)


async def lets_in(settings: BusSettings, seconds: float = 20.0) -> bool:
    """Whether the bus gets ready with these settings, within that long."""
    async with open_bus(settings, settings.user) as bus:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await until(bus.ready, "the bus is ready", seconds + 1)
                return True
    return False


@pytest.mark.usefixtures("server")
async def test_services_come_in_over_tls_with_their_own_rights(files: Files) -> None:
    assert (files.folder / "nats.conf").stat().st_mode & 0o777 == 0o600
    assert await lets_in(files.settings("controller"))
    async with open_bus(files.settings("builder"), "builder") as bus:
        await until(bus.ready, "the bus is ready")
        with pytest.raises(Exception, match="no right to publish"):
            await bus.request("deis.rpc.gateway.x.y", b"", {}, 5.0)


async def test_who_may_not_come_in(files: Files, server: Path, tmp_path: Path) -> None:
    assert await lets_in(files.settings("router"))
    wrong = tmp_path / "wrong"
    wrong.write_text("nonsense")
    other = tmp_path / "other.crt"
    certificate.ensure(other, tmp_path / "other.key", "localhost")
    refused = [
        files.settings("router", password_file=str(wrong)),
        files.settings("router", ca_file=str(other)),
        files.settings("router", url=f"tls://127.0.0.1:{files.port}"),  # not the certificate's name
        files.settings("router", url=f"nats://localhost:{files.port}", ca_file=""),
    ]
    answers = await asyncio.gather(*(lets_in(one, 1.0) for one in refused))
    assert answers == [False] * len(refused)
    assert "-secret" not in server.read_text()


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[int, bytearray]]:
    """A server that says it speaks NATS without TLS; what it hears."""
    heard = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.10.0","max_payload":1000}\r\n')
        while data := await reader.read(1000):
            heard.extend(data)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], heard


async def test_a_server_without_tls_is_shown_no_password(files: Files) -> None:
    async with listening() as (port, heard):
        assert not await lets_in(files.settings("router", url=f"tls://localhost:{port}"), 1.0)
        assert bytes(heard) == b""
        plain = files.settings("router", url=f"nats://localhost:{port}", ca_file="")
        assert not await lets_in(plain, 1.0)
        assert b"router-secret" in heard, "so it would have been heard"


async def test_a_server_on_this_machine_needs_no_tls(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as running:
        assert await lets_in(BusSettings(url=running.url, user="x"))


def test_a_password_that_is_missing_is_named(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    (files.passwords / "router").unlink()
    assert files.configure() == 1
    assert "passwords/router: No such file" in capsys.readouterr().err
    assert not (files.folder / "nats.conf").exists()


def test_a_wrong_size_is_told(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    assert files.configure("--store-limit", "much") == 2
    assert re.search("--store-limit: expected a size", capsys.readouterr().err)
