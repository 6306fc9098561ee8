"""Servers that a killed platform left behind, found by what they hold and ended before a start."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from deis_platform.embedded.keeper_process import alive, read_bytes

POLL_SECONDS = 0.02


def working_in(folder: Path) -> list[int]:
    """Processes whose working folder this is: of PostgreSQL, the cluster's."""
    return [pid for pid in _pids() if _link(pid, "cwd") == str(folder)]


def started_with(*arguments: str) -> list[int]:
    """Processes that have exactly these arguments, one after the other, on their command line."""
    wanted = b"\0".join([b"", *map(os.fsencode, arguments), b""])
    return [pid for pid in _pids() if wanted in read_bytes(f"/proc/{pid}/cmdline")]


async def end(
    find: Callable[[], list[int]], first: signal.Signals, chief: int = 0, patience: float = 5.0
) -> None:
    """Signal what is found (only `chief`, if it is among them) until none is left; then insist.

    Raises TimeoutError when even SIGKILL does not help.
    """
    await asyncio.to_thread(_end, find, first, chief, patience)


def _end(find: Callable[[], list[int]], first: signal.Signals, chief: int, patience: float) -> None:
    started = time.monotonic()
    asked = False
    while found := find():
        waited = time.monotonic() - started
        if waited > 2 * patience:
            raise TimeoutError(f"processes do not end: {found}")
        if not asked:
            _send([chief] if chief in found else found, first)
            asked = True
        elif waited > patience:
            _send(found, signal.SIGKILL)
        time.sleep(POLL_SECONDS)  # in a thread; a foreign process cannot be waited for


def _send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue  # somebody else's is told of once the patience is over


def _pids() -> list[int]:
    return [stat[0] for stat in alive() if stat[0] != os.getpid()]


def _link(pid: int, name: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/{name}")
    except OSError:
        return ""
