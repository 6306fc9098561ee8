"""Runs a program to its end: no shell, a time limit, and the whole group is killed at the limit."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

DEFAULT_SECONDS = 60.0
DEFAULT_OUTPUT_BYTES = 16 * 1024 * 1024
DRAIN_SECONDS = 1.0
_CHUNK = 64 * 1024


class Completed(msgspec.Struct, frozen=True, kw_only=True):
    """How a program ended."""

    returncode: int
    """Negative: ended by that signal."""
    stdout: bytes
    stderr: bytes
    truncated: bool = False
    """More output came than the limit allows; the rest was read and thrown away."""


class ProcessError(Exception):
    """A program could not be started, ran too long, or (with `check`) ended with a fault.

    The text names the program and what it wrote last on standard error, never its arguments.
    """


async def run(
    argv: Sequence[str | Path],
    *,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    input: bytes = b"",  # noqa: A002 - as in the standard library
    seconds: float = DEFAULT_SECONDS,
    output_bytes: int = DEFAULT_OUTPUT_BYTES,
    check: bool = False,
) -> Completed:
    """Run a program; `env` is its whole environment (None: ours).

    It gets a session of its own, which is killed at the time limit and when the caller is
    cancelled. Raises ProcessError.
    """
    program = Path(argv[0]).name
    if any("\0" in str(word) for word in argv):  # uvloop would cut the word there
        raise ProcessError(f"{program} cannot be started: a word with a NUL")
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE if input else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
    except OSError as fault:
        raise ProcessError(f"{program} cannot be started: {fault.strerror}") from fault
    except ValueError as fault:
        raise ProcessError(f"{program} cannot be started: {fault}") from fault  # a NUL inside
    try:
        async with asyncio.timeout(seconds):
            done = await _communicate(process, input, output_bytes)
    except TimeoutError:
        raise ProcessError(f"{program} ran longer than {seconds:g} s") from None
    finally:
        await end(process)
    if check and done.returncode:
        last = done.stderr.decode(errors="replace").strip()[-500:]
        raise ProcessError(f"{program} ended with {done.returncode}: {last or 'it said nothing'}")
    return done


async def _communicate(process: asyncio.subprocess.Process, data: bytes, limit: int) -> Completed:
    if process.stdout is None or process.stderr is None:
        raise TypeError("a process without pipes")
    (out, more), (err, more_err), _ = await asyncio.gather(
        _read(process.stdout, limit), _read(process.stderr, limit), _feed(process.stdin, data)
    )
    return Completed(
        returncode=await process.wait(), stdout=out, stderr=err, truncated=more or more_err
    )


async def _read(stream: asyncio.StreamReader, limit: int) -> tuple[bytes, bool]:
    kept = bytearray()
    more = False
    while chunk := await stream.read(_CHUNK):
        room = limit - len(kept)
        kept += chunk[:room]
        more = more or len(chunk) > room
    return bytes(kept), more


async def _feed(stream: asyncio.StreamWriter | None, data: bytes) -> None:
    if stream is None:
        return
    # A program that does not read its input is no fault of ours; uvloop says so by RuntimeError.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, RuntimeError):
        stream.write(data)
        await stream.drain()
    stream.close()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        await stream.wait_closed()


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill what is left of the group that the program leads, reap the program, close its pipes.

    A pipe is closed at its end only: what it wrote and nobody read yet is read and thrown away.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            await _drain(stream)
    await process.wait()


async def _drain(stream: asyncio.StreamReader) -> None:
    """To its end; whoever has left the group may hold it open, and is not waited for."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while await stream.read(_CHUNK):
                pass
