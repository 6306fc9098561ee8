"""Two S3 servers that share no line of code, from wheels, for the suite of the object store."""

import asyncio
import os
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
from deis_platform.embedded.server import Server
from deis_platform.groups import ObjectsSettings
from deis_platform.objects import open_objects
from integration.servers import serving, until

BUCKET = "deis"
HOST = "127.0.0.1"
SOCKETS = Path("/tmp")
"""Where SeaweedFS puts its sockets, whatever TMPDIR says."""


class Keys(msgspec.Struct, frozen=True):
    """An access key and its secret, in files as an operator gives them."""

    folder: Path
    name: str
    key: str
    secret: str

    @classmethod
    def made(cls, folder: Path, name: str) -> "Keys":
        """New ones."""
        keys = cls(folder, name, secrets.token_hex(8), secrets.token_hex(16))
        keys.key_file.write_text(keys.key + "\n")
        keys.secret_file.write_text(keys.secret + "\n")
        return keys

    @property
    def key_file(self) -> Path:
        """Holds the access key."""
        return self.folder / f"{self.name}.key"

    @property
    def secret_file(self) -> Path:
        """Holds the secret."""
        return self.folder / f"{self.name}.secret"


class RunningS3(msgspec.Struct, frozen=True):
    """A server with one bucket."""

    endpoint: str
    owner: Keys
    """May do anything."""
    guest: Keys
    """On SeaweedFS: may use the bucket, and make none."""
    server: Server
    folder: Path
    """Where it keeps its data."""

    def settings(self, prefix: str = "", **changes: Any) -> ObjectsSettings:
        """Of a store below a prefix of the bucket."""
        told = {
            "url": f"s3://{BUCKET}/{prefix}",
            "s3_endpoint": self.endpoint,
            "s3_key_file": str(self.owner.key_file),
            "s3_secret_file": str(self.owner.secret_file),
        }
        return ObjectsSettings(**(told | changes))

    def environment(self, prefix: str = "") -> dict[str, str]:
        """The same for a service, or for `deis-platform`."""
        return {
            "DEIS_OBJECTS_URL": f"s3://{BUCKET}/{prefix}",
            "DEIS_S3_ENDPOINT": self.endpoint,
            "DEIS_S3_KEY_FILE": str(self.owner.key_file),
            "DEIS_S3_SECRET_FILE": str(self.owner.secret_file),
        }

    def signal(self, number: int) -> None:
        """To the server's process. One that is killed is started again."""
        os.kill(self.server.pid, number)


class Rclone:
    """`rclone serve s3` over a folder: its folders are the buckets."""

    name = "rclone"
    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path, owner: Keys, guest: Keys) -> None:
        self.owner = Owner()
        self.port = free_port()
        self._folder = folder
        self._auth = f"{owner.key},{owner.secret}"

    async def prepare(self) -> None:
        """A folder for buckets."""
        (self._folder / "buckets").mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        """No configuration file; what is written is there at once."""
        return [
            *(_program("rclone"), "serve", "s3", "--config", "", "--addr", f"{HOST}:{self.port}"),
            *("--cache-dir", str(self._folder / "cache"), str(self._folder / "buckets")),
        ]

    def environment(self) -> dict[str, str]:
        """The key stands in no list of processes."""
        return {"PATH": os.defpath, "RCLONE_AUTH_KEY": f'"{self._auth}"'}

    async def answers(self) -> bool:
        """It refuses a stranger."""
        return await _refuses(self.port)

    def tidy(self) -> None:
        """Nothing lies elsewhere."""


class SeaweedFS:
    """`weed mini`: ten ports, of which one is S3."""

    name = "seaweedfs"
    stop_signal = signal.SIGTERM
    PARTS = ("master", "volume", "filer", "s3", "admin")

    def __init__(self, folder: Path, owner: Keys, guest: Keys) -> None:
        self.owner = Owner()
        self._ports = {part: (free_port(), free_port()) for part in self.PARTS}
        self._folder = folder
        self._identities = [
            _identity(owner, "Admin"),
            _identity(guest, *(f"{what}:{BUCKET}" for what in ("Read", "Write", "List"))),
        ]

    @property
    def port(self) -> int:
        """Of S3."""
        return self._ports["s3"][0]

    async def prepare(self) -> None:
        """Who may do what; and nothing lies where a socket will."""
        (self._folder / "data").mkdir(parents=True, exist_ok=True)
        rights = msgspec.json.encode({"identities": self._identities})
        (self._folder / "rights.json").write_bytes(rights)
        self.tidy()

    def tidy(self) -> None:
        """Its sockets have fixed names; one that is left makes a start hang."""
        for plain, grpc in self._ports.values():
            for pattern in (f"seaweedfs-*-{plain}.sock", f"seaweedfs-*-grpc-{grpc}.sock"):
                for path in SOCKETS.glob(pattern):
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
            *(f"-ip={HOST}", f"-ip.bind={HOST}", "-master.telemetry=false", "-webdav=false"),
            *(f"-s3.config={self._folder / 'rights.json'}", "-s3.autoCreateBucket=false"),
            *("-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
            *ports,
        ]

    def environment(self) -> dict[str, str]:
        """Memory is bounded."""
        return {"PATH": os.defpath, "GOMEMLIMIT": "256MiB", "GOGC": "50"}

    async def answers(self) -> bool:
        """It refuses a stranger."""
        return await _refuses(self.port)


Kind = type[Rclone | SeaweedFS]


@asynccontextmanager
async def s3_server(kind: Kind, folder: Path) -> AsyncIterator[RunningS3]:
    """One of the two with its data in `folder`."""
    owner, guest = Keys.made(folder, "owner"), Keys.made(folder, "guest")
    program = kind(folder / kind.name, owner, guest)
    async with (
        Keeper(folder, f"{kind.name}-keeper") as keeper,
        _tidied(program),
        serving(program, keeper, folder) as server,
    ):
        running = RunningS3(
            f"http://{HOST}:{program.port}", owner, guest, server, folder / kind.name
        )
        await until(lambda: _usable(running), "a bucket to write to")
        yield running


@asynccontextmanager
async def _tidied(program: Rclone | SeaweedFS) -> AsyncIterator[None]:
    try:
        yield
    finally:
        program.tidy()


def _identity(keys: Keys, *actions: str) -> dict[str, Any]:
    credentials = [{"accessKey": keys.key, "secretKey": keys.secret}]
    return {"name": keys.name, "credentials": credentials, "actions": actions}


def _program(name: str) -> str:
    return str(Path(sysconfig.get_path("scripts")) / name)


async def _refuses(port: int) -> bool:
    """A stranger."""
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
    """Our store makes the bucket; SeaweedFS takes no object in its first moments."""
    try:
        async with open_objects(s3.settings()) as store:
            await store.put("first", _nothing())
            await store.delete("first")
    except Transient:
        return False
    return True


async def _nothing() -> AsyncIterator[bytes]:
    yield b""
