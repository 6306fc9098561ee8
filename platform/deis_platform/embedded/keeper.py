"""The keeper: nothing that the platform started outlives it, `kill -9` included (DESIGN 6).

    async with Keeper(folder) as keeper:
        child = await asyncio.create_subprocess_exec(
            ..., start_new_session=True, env={**environment, **keeper.environment})
        keeper.record(child.pid)
        await child.wait()
        keeper.forget(child.pid)

A small process of its own holds the other end of a pipe. When the pipe closes, it kills every
recorded session and group, and processes that fled from them but carry the mark in their
environment. What is recorded also stands in a file, so that the next start can clean up after a
keeper that was killed itself.
"""

import asyncio
import contextlib
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from deis_platform.embedded import keeper_process
from deis_platform.logs import get_logger

log = get_logger(__name__)

MARK = "DEIS_KEEPER"
TOKEN_BYTES = 8
RESTART_SECONDS = 0.2
STOP_SECONDS = 15.0


async def ended(process: asyncio.subprocess.Process) -> int:
    """The exit code, once its standard output is read to the end, so that no pipe stays open."""
    if process.stdout is not None:
        await process.stdout.read()
    return await process.wait()


class Keeper:
    """Kills what it was told of when the context ends or this process dies.

    `folder` holds the record files; one keeper per folder and `name`. With `homes`, a process
    whose HOME lies below that folder counts as marked, so that applications need no variable.
    """

    def __init__(self, folder: Path, name: str = "keeper", homes: Path | None = None) -> None:
        token = secrets.token_hex(TOKEN_BYTES)
        self.environment = {MARK: token}
        """Put into a child's environment, finds it even after it left its session."""
        self._folder = folder
        self._name = name
        # A keeper that is still at work after its platform died must not meet our records.
        self._path = folder / f"{name}-{token}.pids"
        self._header = [f"boot {keeper_process.boot_id()}", f"mark {MARK}={token}"]
        if homes is not None:
            self._header.append(f"home {homes}/")
        self._started: dict[int, int] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._file = -1

    @property
    def pid(self) -> int:
        """The keeper process, 0 while it is not running."""
        return self._process.pid if self._process is not None else 0

    async def __aenter__(self) -> Self:
        """Kill what an earlier platform left behind, then start keeping."""
        for path in self._folder.glob(f"{self._name}-{'?' * 2 * TOKEN_BYTES}.pids"):
            await asyncio.to_thread(keeper_process.clean, str(path))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._file = os.open(self._path, flags, 0o600)
        os.write(self._file, "".join(self._lines()).encode())
        await self._start()
        self._watch = asyncio.create_task(self._keep_running(), name="keeper")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill what is still recorded; returns once it is gone."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        os.close(self._file)
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            await asyncio.to_thread(keeper_process.clean, str(self._path))
            return
        assert process.stdin is not None  # noqa: S101 - it was started with a pipe
        process.stdin.close()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await ended(process)
        except TimeoutError:
            process.kill()
            await ended(process)

    def record(self, pid: int) -> None:
        """A child that leads its own session (or group) was started; call it at once."""
        stat = keeper_process.stat_of(pid)
        self._started[pid] = stat[3] if stat is not None else 0
        self._write(f"+ {pid} {self._started[pid]}\n")

    def forget(self, pid: int) -> None:
        """That child and its group have ended; an unknown pid is no error."""
        if self._started.pop(pid, None) is not None:
            self._write(f"- {pid}\n")

    def _lines(self) -> Iterator[str]:
        yield from (f"{line}\n" for line in self._header)
        yield from (f"+ {pid} {start}\n" for pid, start in self._started.items())

    def _write(self, line: str) -> None:
        # Either way alone is enough while the other works: a full disk takes the file away, a
        # killed keeper the pipe.
        try:
            os.write(self._file, line.encode())
        except OSError as fault:
            log.warning("keeper record not written", file=str(self._path), fault=str(fault))
        process = self._process
        if process is not None and process.returncode is None and process.stdin is not None:
            process.stdin.write(line.encode())

    async def _start(self) -> None:
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", "-E", keeper_process.__file__, str(self._path),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
            cwd="/",
            env={},
        )  # fmt: skip
        assert process.stdin is not None  # noqa: S101
        assert process.stdout is not None  # noqa: S101
        process.stdin.write("".join(self._lines()).encode())
        await process.stdout.readline()

    async def _keep_running(self) -> None:
        """Start the keeper again when somebody kills it."""
        while True:
            if self._process is not None:
                code = await ended(self._process)
                log.warning("keeper ended, starting it again", code=code)
            await asyncio.sleep(RESTART_SECONDS)
            try:
                await self._start()
            except OSError as fault:  # no process or descriptor left just now
                log.warning("keeper cannot be started", fault=str(fault))
