"""Two S3 servers that share no line of code, from wheels, for the suite of the object store."""

import asyncio
import secrets
import signal
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from deis_bus.errors import Transient
from deis_platform.embedded.keeper import Keeper
from deis_platform.embedded.owners import Owner
from deis_platform.embedded.ports import free_port
from deis_platform.embedded.server import Program, Server
from deis_platform.groups import ObjectsSettings
from deis_platform.objects import open_objects
from integration.servers import serving, until

BUCKET = "deis"
HOST = "127.0.0.1"


class RunningS3(msgspec.Struct, frozen=True):
    """A server with one bucket."""

    endpoint: str
    key_file: Path
    secret_file: Path
    server: Server

    def settings(self, prefix: str = "", **changes: Any) -> ObjectsSettings:
        """Of a store below a prefix of the bucket."""
        told = {
            "url": f"s3://{BUCKET}/{prefix}",
            "s3_endpoint": self.endpoint,
            "s3_key_file": str(self.key_file),
            "s3_secret_file": str(self.secret_file),
        }
        return ObjectsSettings(**(told | changes))


class Rclone:
    """`rclone serve s3` over a folder: its folders are the buckets."""

    name = "rclone"
    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path, key: str, secret: str) -> None:
        self.owner = Owner()
        self.port = free_port()
        self._folder = folder
        self._auth = f"{key},{secret}"

    async def prepare(self) -> None:
        """The bucket."""
        (self._folder / "buckets" / BUCKET).mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        """No configuration file; what is written is there at once."""
        return [
            *(_program("rclone"), "serve", "s3", "--config", "", "--addr", f"{HOST}:{self.port}"),
            *("--cache-dir", str(self._folder / "cache"), str(self._folder / "buckets")),
        ]

    def environment(self) -> dict[str, str]:
        """The key stands in no list of processes."""
        return {"PATH": "/usr/bin:/bin", "RCLONE_AUTH_KEY": f'"{self._auth}"'}

    async def answers(self) -> bool:
        """It refuses a stranger."""
        return await _answers(self.port)


class SeaweedFS:
    """`weed mini`: eleven ports, of which one is S3."""

    name = "seaweedfs"
    stop_signal = signal.SIGTERM
    PARTS = ("master", "volume", "filer", "s3", "admin")

    def __init__(self, folder: Path, key: str, secret: str) -> None:
        self.owner = Owner()
        self._ports = {part: (free_port(), free_port()) for part in self.PARTS}
        self._folder = folder
        self._key, self._secret = key, secret

    @property
    def port(self) -> int:
        """Of S3."""
        return self._ports["s3"][0]

    async def prepare(self) -> None:
        """Nothing lies where a socket will."""
        (self._folder / "data").mkdir(parents=True, exist_ok=True)
        self.tidy()

    def tidy(self) -> None:
        """Its sockets have fixed names; one that is left makes a start hang."""
        for plain, grpc in self._ports.values():
            for path in (*Path("/tmp").glob(f"seaweedfs-*-{plain}.sock"),
                         *Path("/tmp").glob(f"seaweedfs-*-grpc-{grpc}.sock")):  # fmt: skip
                path.unlink(missing_ok=True)

    def command(self) -> list[str]:
        """On loopback alone, and without what tells its makers of it."""
        ports = [
            f"-{part}.port{kind}={port}"
            for part, both in self._ports.items()
            for kind, port in zip(("", ".grpc"), both, strict=True)
        ]
        return [
            *(_program("weed"), f"-logdir={self._folder}", "mini", f"-dir={self._folder / 'data'}"),
            *(f"-ip={HOST}", f"-ip.bind={HOST}", "-master.telemetry=false", f"-bucket={BUCKET}"),
            *("-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
            *ports,
        ]

    def environment(self) -> dict[str, str]:
        """The first user of a new folder."""
        return {
            "PATH": "/usr/bin:/bin",
            "AWS_ACCESS_KEY_ID": self._key,
            "AWS_SECRET_ACCESS_KEY": self._secret,
            "GOMEMLIMIT": "256MiB",
        }

    async def answers(self) -> bool:
        """It refuses a stranger."""
        return await _answers(self.port)


@asynccontextmanager
async def s3_server(kind: type[Rclone | SeaweedFS], folder: Path) -> AsyncIterator[RunningS3]:
    """One of the two with its data in `folder`."""
    key, secret = secrets.token_hex(8), secrets.token_hex(16)
    files = folder / "key", folder / "secret"
    for path, text in zip(files, (key, secret), strict=True):
        path.write_text(text + "\n")
    program = kind(folder / kind.name, key, secret)
    async with (
        Keeper(folder, f"{kind.name}-keeper") as keeper,
        _tidied(program),
        serving(program, keeper, folder) as server,
    ):
        running = RunningS3(f"http://{HOST}:{program.port}", *files, server)
        await until(lambda: _usable(running), "a bucket to write to")
        yield running


@asynccontextmanager
async def _tidied(program: Program) -> AsyncIterator[None]:
    yield
    if isinstance(program, SeaweedFS):
        program.tidy()


def _program(name: str) -> str:
    return str(Path(sysconfig.get_path("scripts")) / name)


async def _answers(port: int) -> bool:
    """It refuses a stranger."""
    try:
        async with (
            asyncio.timeout(2),
            aiohttp.ClientSession() as session,
            session.get(f"http://{HOST}:{port}/{BUCKET}") as answer,
        ):
            return answer.status in (400, 403)
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False


async def _usable(s3: RunningS3) -> bool:
    """The bucket is there: SeaweedFS makes it a moment after it answers."""
    try:
        async with open_objects(s3.settings()) as store:
            await store.put("first", _nothing())
            await store.delete("first")
    except Transient:
        return False
    return True


async def _nothing() -> AsyncIterator[bytes]:
    yield b""
