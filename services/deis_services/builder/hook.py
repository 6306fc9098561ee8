"""The pre-receive hook and the pipes on which it speaks with its session.

git hands open descriptors down to its hooks, so the hook needs no socket, no address and no
secret: it writes what came on one pipe, prints what it hears on another, and ends with the code
it reads from a third. Where the session dies all three end, and the push is refused.
"""

import asyncio
import contextlib
import os
from pathlib import Path

import msgspec

from deis_platform.pipes import read_pipe
from deis_services.builder.parse import MAX_REFS

SCRIPT = """#!/bin/sh
# Runs after a push came in whole and before it counts; written by the builder at its start.
{
  printf '%s\\n' "$GIT_OBJECT_DIRECTORY" "$GIT_ALTERNATE_OBJECT_DIRECTORIES"
  cat
  echo .
} > "/dev/fd/$DEIS_HOOK_SAYS"
cat < "/dev/fd/$DEIS_HOOK_HEARS"
read -r code < "/dev/fd/$DEIS_HOOK_CODE"
exit "${code:-1}"
"""
CHUNK_BYTES = 64 * 1024
MAX_LINE = 4096


class HookGone(Exception):
    """The hook ended before it was answered."""


class Said(msgspec.Struct, frozen=True):
    """What the hook was given by git."""

    objects: dict[str, str]
    """Environment that shows the objects that came but do not count yet."""
    lines: tuple[str, ...]
    """`old new ref`, one for each ref."""


def install(folder: Path) -> Path:
    """Write the hook into a folder of ours; gives the folder for `core.hooksPath`."""
    folder.mkdir(mode=0o700, exist_ok=True)
    fresh = folder / ".pre-receive"
    fresh.write_text(SCRIPT, encoding="ascii")
    fresh.chmod(0o700)
    fresh.replace(folder / "pre-receive")
    return folder


class Hook:
    """Our ends of the pipes of one push; `inherited` are those that git gets."""

    def __init__(self) -> None:
        self._says, says = os.pipe()
        hears, self._hears = os.pipe()
        code, self._code = os.pipe()
        self.inherited = (says, hears, code)
        self.environment = {
            "DEIS_HOOK_SAYS": str(says),
            "DEIS_HOOK_HEARS": str(hears),
            "DEIS_HOOK_CODE": str(code),
        }
        self._ours = {self._says, self._hears, self._code}
        os.set_blocking(self._hears, False)

    def started(self) -> None:
        """git runs: its ends are no longer ours to hold."""
        for descriptor in self.inherited:
            os.close(descriptor)

    async def said(self) -> Said:
        """Wait for the hook and what it has to say. Raises HookGone when git ends without it."""
        reader = asyncio.StreamReader(limit=CHUNK_BYTES)
        self._ours.discard(self._says)
        transport, _ = await read_pipe(lambda: asyncio.StreamReaderProtocol(reader), self._says)
        try:
            quarantine, known = await _line(reader), await _line(reader)
            lines: list[str] = []
            while (line := await _line(reader)) != ".":
                # All is read, lest the hook waits for ever; not all is kept.
                if len(lines) <= MAX_REFS:
                    lines.append(line)
        finally:
            transport.close()
        objects = {
            "GIT_OBJECT_DIRECTORY": quarantine,
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": known,
        }
        return Said({name: value for name, value in objects.items() if value}, tuple(lines))

    async def show(self, data: bytes) -> None:
        """Let the hook print that; waits while the client is slow. Raises HookGone."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._hears, view) :]
            except BlockingIOError:
                await _writable(self._hears)
            except OSError as fault:
                raise HookGone from fault

    def end(self, code: int) -> None:
        """Let the hook end: 0 accepts the push."""
        with contextlib.suppress(OSError):
            os.write(self._code, f"{code}\n".encode())
        self.close()

    def close(self) -> None:
        """Free our ends; an unanswered hook refuses the push."""
        ours, self._ours = self._ours, set()
        for descriptor in ours:
            os.close(descriptor)


async def _line(reader: asyncio.StreamReader) -> str:
    try:
        line = await reader.readuntil(b"\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        raise HookGone from None
    return line[:MAX_LINE].decode(errors="replace").rstrip("\n")


async def _writable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(descriptor)
