"""One embedded server as a supervised child: started, watched, started again, stopped.

A `Program` says what to run; `Server` keeps it running. Each child leads a session of its own, is
recorded with the keeper, and gets its stop signal from the kernel too when the platform dies.
"""

import asyncio
import contextlib
import errno
import os
import signal
import sys
from pathlib import Path
from typing import Protocol

from deis_platform.embedded import launch
from deis_platform.embedded.errors import PortTaken, ServerFailed
from deis_platform.embedded.keeper import Keeper
from deis_platform.embedded.owners import Owner
from deis_platform.logs import get_logger

log = get_logger(__name__)

START_SECONDS = 30.0
STOP_SECONDS = 10.0
STEADY_SECONDS = 10.0
"""Up for that long, a death starts the backoff anew."""
PROBE_SECONDS = (0.005, 0.1)
RESTART_SECONDS = (0.05, 5.0)
LOG_BYTES = 10_000_000
LOG_CHECK_SECONDS = 60.0
LAST_WORDS = 2000
STARTS = 3
"""So often a start is tried where somebody takes the chosen port before the server has it."""


class Program(Protocol):
    """What a server is; `Server` calls `prepare` before every start."""

    name: str
    stop_signal: signal.Signals
    owner: Owner

    async def prepare(self) -> None:
        """Folders, configuration, leftovers of an earlier run. Raises ServerFailed."""

    def command(self) -> list[str]:
        """Program and arguments; no secrets, everybody can read them."""
        ...

    def environment(self) -> dict[str, str]:
        """All of its environment."""
        ...

    async def answers(self) -> bool:
        """Whether it serves right now."""
        ...


def launched(command: list[str], on_death: signal.Signals, owner: Owner) -> list[str]:
    """The command line that runs `command` as `owner` and signals it when we die."""
    return [
        *(sys.executable, "-I", "-S", "-E", launch.__file__),
        *(str(int(on_death)), str(owner.uid), str(owner.gid), str(os.getpid())),
        *command,
    ]


class Server:
    """A part that keeps a program running."""

    def __init__(self, program: Program, keeper: Keeper, log_file: Path) -> None:
        self.name = program.name
        self._program = program
        self._keeper = keeper
        self._log_file = log_file
        self._process: asyncio.subprocess.Process | None = None
        self._delay = RESTART_SECONDS[0]

    @property
    def pid(self) -> int:
        """The server's process; 0 while there is none."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process is not None and running else 0

    async def start(self) -> None:
        """Start it; returns once it serves. Raises ServerFailed with its last words."""
        for _ in range(STARTS - 1):
            with contextlib.suppress(PortTaken):
                return await self._start()
        return await self._start()

    async def _start(self) -> None:
        await self._program.prepare()
        self._process = process = await self._spawn()
        self._keeper.record(process.pid)
        try:
            await self._until_it_answers(process)
        except BaseException:
            await self.stop()
            raise

    async def run(self, stop: asyncio.Event) -> None:
        """Start it unless it runs, start it again whenever it dies, stop it at the end."""
        try:
            while not stop.is_set():
                try:
                    await self._one_life(stop)
                except (ServerFailed, OSError) as fault:  # a full disk, too, has room again one day
                    log.error("server did not start", server=self.name, fault=str(fault))  # noqa: TRY400
                if not stop.is_set():
                    await self._pause(stop)
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Its stop signal, then SIGKILL to the whole group; returns once it is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.send_signal(self._program.stop_signal)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await process.wait()
        await self._bury(process)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the running server; nothing when it does not run."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def _one_life(self, stop: asyncio.Event) -> None:
        if self._process is None:
            await self.start()
        process = self._process
        assert process is not None  # noqa: S101 - start() sets it or raises
        loop = asyncio.get_running_loop()
        started = loop.time()
        code = await self._until_it_ends(process, stop)
        if code is None:
            return
        if loop.time() - started > STEADY_SECONDS:
            self._delay = RESTART_SECONDS[0]
        log.warning("server ended, starting it again", server=self.name, code=code)
        self._process = None
        await self._bury(process)

    async def _until_it_ends(
        self, process: asyncio.subprocess.Process, stop: asyncio.Event
    ) -> int | None:
        """Its exit code, or None when we are told to stop first."""
        ended = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(stop.wait())
        try:
            while True:
                done, _ = await asyncio.wait(
                    {ended, stopping},
                    timeout=LOG_CHECK_SECONDS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if stopping in done:
                    return None
                if ended in done:
                    return ended.result()
                self._bound_log()
        finally:
            ended.cancel()
            stopping.cancel()

    async def _pause(self, stop: asyncio.Event) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._delay):
                await stop.wait()
        self._delay = min(self._delay * 2, RESTART_SECONDS[1])

    async def _spawn(self) -> asyncio.subprocess.Process:
        program = self._program
        self._bound_log()
        output = os.open(self._log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            return await asyncio.create_subprocess_exec(
                *launched(program.command(), program.stop_signal, program.owner),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd="/",
                env={**program.environment(), **self._keeper.environment},
            )
        finally:
            os.close(output)

    async def _until_it_answers(self, process: asyncio.subprocess.Process) -> None:
        pause, longest = PROBE_SECONDS
        ended = asyncio.create_task(process.wait())
        try:
            async with asyncio.timeout(START_SECONDS):
                while not await self._program.answers():
                    done, _ = await asyncio.wait({ended}, timeout=pause)
                    if done:
                        words = self._last_words(f"ended with code {ended.result()}")
                        taken = os.strerror(errno.EADDRINUSE).lower() in words.lower()
                        raise PortTaken(words) if taken else ServerFailed(words)
                    pause = min(pause * 1.5, longest)
        except TimeoutError:
            raise ServerFailed(
                self._last_words(f"did not answer within {START_SECONDS:.0f} s")
            ) from None
        finally:
            ended.cancel()

    async def _bury(self, process: asyncio.subprocess.Process) -> None:
        # Children may outlive their master (nginx' workers, backends of PostgreSQL).
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        self._keeper.forget(process.pid)

    def _last_words(self, what: str) -> str:
        lines = self._log_file.read_text(errors="replace")[-LAST_WORDS:].strip().splitlines()
        grave = [line for line in lines if "FATAL" in line or "[FTL]" in line]
        said = (grave or lines or ["it said nothing"])[-1]
        return f"{self.name} {what}: {said} ({self._log_file})"

    def _bound_log(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self._log_file.stat().st_size > LOG_BYTES:
                os.truncate(self._log_file, 0)
