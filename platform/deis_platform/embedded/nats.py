"""NATS from the wheel: JetStream in the data folder, loopback only, every service its own user.

The configuration holds passwords and is mode 0600; the ports are chosen once and kept while they
stay free, so that clients find a restarted server where it was.
"""

import asyncio
import json
import os
import re
import secrets
import signal
from collections.abc import Callable
from pathlib import Path

from deis_platform.embedded import orphans
from deis_platform.embedded.errors import ServerFailed
from deis_platform.embedded.owners import Owner
from deis_platform.embedded.ports import free_port, same_or_free

HOST = "127.0.0.1"
STORE_BYTES = 8 * 1024**3
MEMORY_BYTES = 64 * 1024**2
PAYLOAD_BYTES = 8 * 1024**2
PENDING_BYTES = 64 * 1024**2

CONFIGURATION = """\
# Written by `deis-platform up` at every start.
server_name: deis
listen: "{host}:{port}"
http: "{host}:{monitor}"
http_base_path: "/{path}"
max_payload: {payload}
max_pending: {pending}
max_control_line: 16KB
jetstream {{
  store_dir: {store}
  max_file_store: {store_bytes}
  max_memory_store: {memory_bytes}
}}
{users}
"""


class Nats:
    """A program for `Server`.

    `users` gives the `authorization` block of the configuration, users with passwords and rights;
    it is asked before every start and by `write`. Empty text lets everybody do everything, which
    is for tests only.
    """

    name = "nats"
    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path, binary: Path, users: Callable[[], str]) -> None:
        self.owner = Owner()
        self._folder = folder
        self._binary = binary
        self._users = users
        self._configuration = folder.absolute() / "nats.conf"
        self._port = 0
        self._monitor = 0
        self._path = ""
        """The monitor tells names of applications; everybody on this machine reaches its port."""

    @property
    def url(self) -> str:
        """Where clients connect; known once `prepare` has run."""
        return f"nats://{HOST}:{self._port}"

    async def prepare(self) -> None:
        """Configuration and ports; ends a server of an earlier run on the same folder."""
        self.owner.folder(self._folder)
        try:
            await orphans.end(self.running, signal.SIGTERM)
        except TimeoutError as fault:
            raise ServerFailed(f"NATS of an earlier run: {fault}") from None
        self._choose_ports()
        self.write()

    def adopt(self) -> None:
        """The ports of a server that another process runs on this folder, for `write`."""
        kept = json.loads((self._folder / "ports.json").read_text())
        self._port, self._monitor = int(kept["port"]), int(kept["monitor"])
        self._path = kept.get("path", "")

    def running(self) -> list[int]:
        """Process ids of the server on this folder, whoever started it."""
        return orphans.started_with("--config", str(self._configuration))

    def command(self) -> list[str]:
        """The server; everything else stands in the configuration."""
        return [str(self._binary), "--config", str(self._configuration)]

    def environment(self) -> dict[str, str]:
        """Nothing of ours; the memory limit makes its garbage collector tidy early."""
        return {"PATH": "/usr/bin:/bin", "GOMEMLIMIT": "256MiB"}

    async def answers(self) -> bool:
        """`/healthz` of its monitor: JetStream has read its streams."""
        try:
            async with asyncio.timeout(2.0):
                reader, writer = await asyncio.open_connection(HOST, self._monitor)
                try:
                    asked = f"GET /{self._path}/healthz HTTP/1.0\r\nHost: localhost\r\n\r\n"
                    writer.write(asked.encode())
                    return b" 200 " in await reader.readline()
                finally:
                    writer.close()
                    await writer.wait_closed()
        except (OSError, TimeoutError):
            return False

    def _choose_ports(self) -> None:
        kept = self._folder / "ports.json"
        before = json.loads(kept.read_text()) if kept.exists() else {}
        self._port = same_or_free(int(before.get("port") or free_port()))
        self._monitor = same_or_free(int(before.get("monitor") or free_port()))
        while self._monitor == self._port:  # nobody listens on either yet
            self._monitor = free_port()
        self._path = before.get("path") or secrets.token_hex(16)
        chosen = {"port": self._port, "monitor": self._monitor, "path": self._path}
        _write_private(kept, json.dumps(chosen))

    def write(self) -> None:
        """Write the configuration; a running server takes new users in at SIGHUP."""
        text = CONFIGURATION.format(
            host=HOST,
            port=self._port,
            monitor=self._monitor,
            path=self._path,
            payload=PAYLOAD_BYTES,
            pending=PENDING_BYTES,
            store=_quoted(str(self._folder.absolute() / "store")),
            store_bytes=STORE_BYTES,
            memory_bytes=MEMORY_BYTES,
            users=self._users(),
        )
        _write_private(self._configuration, text)


def _quoted(text: str) -> str:
    """A string of the configuration's language."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _write_private(path: Path, text: str) -> None:
    """Write new, then rename: a reader never sees half a file."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    draft.replace(path)
