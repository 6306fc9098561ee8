"""One process of an application, as a child in a session of its own."""

import asyncio
import contextlib
import errno
import fcntl
import os
import signal
import struct
import sys
import termios
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deis_platform.embedded import keeper_process
from deis_platform.embedded.keeper import Keeper
from deis_platform.embedded.owners import Owner, barrier
from deis_platform.pipes import TerminalInput, read_pipe, write_pipe
from deis_services.runtime import launcher
from deis_services.runtime.limits import PROCESSES, Group, Limits, Rlimits

READ_LIMIT = 64 * 1024
ROUNDS = 500
PAUSE_SECONDS = 0.02
LINGER_SECONDS = 1.0
"""How long after a burial an output may stay silent before it counts as ended."""
TERM = "xterm-256color"
PASSING = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT)


class CannotStart(Exception):
    """A process could not be started; the text is a sentence for the user."""


class NotNow(CannotStart):
    """It could not be started for want of something that comes back."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """What to run. `environment` is all of it: nothing is inherited."""

    argv: tuple[str, ...]
    """Program by absolute path, and its arguments."""
    cwd: Path
    environment: Mapping[str, str] = field(repr=False)
    owner: Owner = Owner()  # noqa: RUF009 - frozen
    memory_bytes: int = 0
    cpus: float = 0.0
    terminal: tuple[int, int] | None = None
    """Columns and rows of a pseudo terminal, which then is standard input, output and error."""
    stdin: bool = False
    """Standard input is a pipe; else there is nothing to read."""
    home: Path | None = None
    """Folder of this process alone: whatever has its HOME in there belongs to it."""
    limits: Limits = field(default_factory=Rlimits, repr=False)


class Child:
    """A started process. `bury` it at the end, also when it has ended by itself."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        command: Command,
        keeper: Keeper,
        group: Group,
        pipes: "Pipes",
    ) -> None:
        self.pid = process.pid
        self.stdout = pipes.stdout
        self.stderr = pipes.stderr
        """None with a terminal: all of it comes on `stdout`."""
        self.stdin = pipes.stdin
        self._process = process
        self._command = command
        self._keeper = keeper
        self._group = group
        self._pipes = pipes
        self._started = keeper_process.stat_of(process.pid)
        self._burial: asyncio.Task[None] | None = None

    @property
    def returncode(self) -> int | None:
        """The exit code, 128+n for signals; None while it runs."""
        code = self._process.returncode
        return code if code is None or code >= 0 else 128 - code

    async def wait(self) -> int:
        """The exit code once the process has ended; its children may still run."""
        code = await self._process.wait()
        return code if code >= 0 else 128 - code

    def signal(self, number: int) -> None:
        """To the process and its group; nothing when they have gone."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def resize(self, columns: int, rows: int) -> None:
        """The terminal's size; nothing without one."""
        self._pipes.resize(columns, rows)

    async def bury(self) -> None:
        """SIGKILL to the session and to what fled from it; returns once all of it is gone.

        What it printed can still be read: the streams end a moment later by themselves, even
        where something that nobody could find keeps their other ends open.
        """
        if self._burial is None:
            self._burial = asyncio.create_task(self._bury(), name=f"bury {self.pid}")
        await asyncio.shield(self._burial)

    async def _bury(self) -> None:
        await asyncio.to_thread(self._kill)
        await self._process.wait()
        self._keeper.forget(self.pid)
        self._pipes.finish()
        self._group.remove()

    def _kill(self) -> None:
        records = keeper_process.Records()
        records.started[self.pid] = self._started[3] if self._started else 0
        if self._command.home is not None:
            records.homes.append(b"HOME=" + os.fsencode(self._command.home) + b"/")
        for _ in range(ROUNDS):
            keeper_process.kill_all(records)
            members = {stat[0] for stat in keeper_process.alive()} & set(self._group.members())
            if not members:
                return
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(PAUSE_SECONDS)  # in a thread; what is not our child cannot be waited for


class Pipes:
    """Our ends of a child's input and output, and the child's own ends until it has them."""

    def __init__(self) -> None:
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None
        self.stdin: asyncio.StreamWriter | None = None
        self.theirs: list[int] = []
        """Standard input, output and error of the child."""
        self._inputs = contextlib.ExitStack()
        self._outputs: list[tuple[asyncio.ReadTransport, int]] = []
        self._terminal = -1

    async def open(self, command: Command) -> None:
        """Make them. Raises OSError."""
        if command.terminal is not None:
            await self._open_terminal(command, *command.terminal)
            return
        if command.stdin:
            theirs, ours = os.pipe()
            self.theirs.append(theirs)
            self.stdin = await self._writer(ours)
        else:
            self.theirs.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        self.stdout = await self._output()
        self.stderr = await self._output()

    async def _open_terminal(self, command: Command, columns: int, rows: int) -> None:
        ours, theirs = os.openpty()
        self._terminal = ours
        self.theirs = [theirs]
        if command.owner.uid >= 0:
            os.fchown(theirs, command.owner.uid, command.owner.gid)
        self.resize(columns, rows)
        protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader())
        self.stdin = self._input(TerminalInput(os.dup(ours), protocol), protocol)
        self.stdout = await self.reader(ours)
        self.theirs += [theirs, theirs]

    def resize(self, columns: int, rows: int) -> None:
        """Set the terminal's size, bounded to what it can be."""
        if self._terminal >= 0:
            size = struct.pack("HHHH", _bounded(rows), _bounded(columns), 0, 0)
            fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    def hand_over(self) -> None:
        """Close the child's ends here."""
        for descriptor in set(self.theirs):
            os.close(descriptor)
        self.theirs = []

    def finish(self) -> None:
        """The child is gone: close its input now, its output once that is read."""
        self.hand_over()
        self._terminal = -1
        self._inputs.close()
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self._close_outputs, ROUNDS)

    def close(self) -> None:
        """Close everything, unread output too."""
        self.hand_over()
        self._terminal = -1
        self._inputs.close()
        self._close_outputs(0)

    def _close_outputs(self, rounds: int) -> None:
        """Those with nothing in them; what is there waits for its reader, but not for ever."""
        open_still = [one for one in self._outputs if not one[0].is_closing()]
        slow = [one for one in open_still if rounds and _unread(one[1])]
        for one in open_still:
            if one not in slow:
                one[0].close()
        if slow:
            loop = asyncio.get_running_loop()
            loop.call_later(LINGER_SECONDS, self._close_outputs, rounds - 1)

    async def _output(self) -> asyncio.StreamReader:
        ours, theirs = os.pipe()
        self.theirs.append(theirs)
        return await self.reader(ours)

    async def reader(self, descriptor: int) -> asyncio.StreamReader:
        """A stream that reads from it until `close`."""
        stream = asyncio.StreamReader(READ_LIMIT)
        transport, _ = await read_pipe(lambda: _Reading(stream), descriptor)
        self._outputs.append((transport, descriptor))
        return stream

    async def _writer(self, descriptor: int) -> asyncio.StreamWriter:
        transport, protocol = await write_pipe(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), descriptor
        )
        return self._input(transport, protocol)

    def _input(
        self, transport: asyncio.WriteTransport, protocol: asyncio.StreamReaderProtocol
    ) -> asyncio.StreamWriter:
        self._inputs.callback(_abort, transport)
        return asyncio.StreamWriter(transport, protocol, None, asyncio.get_running_loop())


class _Reading(asyncio.StreamReaderProtocol):
    """Closes its pipe at the end; the base class keeps it for a writer, which a pipe has not."""

    def eof_received(self) -> bool:
        super().eof_received()
        return False


def _abort(transport: asyncio.WriteTransport) -> None:
    if not transport.is_closing():  # asyncio's own loop cannot abort what is closed
        transport.abort()


async def spawn(command: Command, keeper: Keeper) -> Child:
    """Start it and wait until it really runs. Raises CannotStart with a sentence."""
    _check(command)
    pipes = Pipes()
    group = command.limits.group(command.memory_bytes, command.cpus)
    child: Child | None = None
    try:
        await pipes.open(command)
        said, status = os.pipe()
        try:
            words = await pipes.reader(said)
            process = await _start(command, group, pipes, status)
        finally:
            os.close(status)
        keeper.record(process.pid)
        child = Child(process, command, keeper, group, pipes)
        pipes.hand_over()
        _judge(await words.read())
    except BaseException as fault:
        if child is not None:
            await child.bury()
        else:
            pipes.close()
            group.remove()
        if isinstance(fault, OSError):
            kind = NotNow if fault.errno in PASSING else CannotStart
            raise kind(f"The process cannot start: {fault.strerror}") from fault
        raise
    return child


def _judge(said: bytes) -> None:
    if said:
        raise CannotStart(f"The process cannot start: {said.decode(errors='replace')}")


def _check(command: Command) -> None:
    if any("\0" in word for word in (*command.argv, *command.environment.values())):
        raise CannotStart("A command or a value of the environment holds a NUL character")
    program = Path(command.argv[0])
    for path in (command.cwd / "x", program, program.resolve()):
        closed = barrier(path, command.owner)
        if closed is not None:
            raise CannotStart(
                f"The folder {closed} is closed to the users that applications run as:"
                " let others pass through it, or put data folder and interpreter elsewhere"
            )


async def _start(
    command: Command, group: Group, pipes: Pipes, status: int
) -> asyncio.subprocess.Process:
    environment = os.memfd_create("environment", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(environment), "wb") as file:
            file.write(_told(command, group))
        os.lseek(environment, 0, os.SEEK_SET)
        numbers = (
            *(command.owner.uid, command.owner.gid, group.data_bytes, PROCESSES),
            *(int(command.terminal is not None), environment, status),
        )
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-E", launcher.__file__, *map(str, numbers)),
            *(str(command.cwd), *command.argv),
            stdin=pipes.theirs[0],
            stdout=pipes.theirs[1],
            stderr=pipes.theirs[2],
            pass_fds=(environment, status),
            start_new_session=True,
            cwd="/",
            # So that the keeper knows it before it is recorded.
            env={"HOME": str(command.home / "x")} if command.home is not None else {},
        )
    finally:
        os.close(environment)


def _told(command: Command, group: Group) -> bytes:
    environment = dict(command.environment)
    if command.terminal is not None:
        environment.setdefault("TERM", TERM)
    files = b"\n".join(map(os.fsencode, group.join))
    entries = (f"{name}={value}".encode() for name, value in environment.items())
    return b"\0".join((files, *entries))


def _unread(descriptor: int) -> int:
    """Bytes that wait in a pipe or terminal."""
    return int(struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))[0])


def _bounded(size: int) -> int:
    return max(1, min(size, 0xFFFF))
