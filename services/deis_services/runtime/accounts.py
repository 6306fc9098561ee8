"""Users for applications and builds: as root each has a uid of its own (DESIGN 6, local).

As an ordinary user there is nothing to give: everything runs as that user.
"""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import time
from pathlib import Path

from deis_platform.embedded.keeper_process import stat_of
from deis_platform.embedded.owners import Owner

BLOCK = 1000
"""Platforms beside each other begin in another block of the range each."""
ROUNDS = 500
PAUSE_SECONDS = 0.02


class Accounts:
    """Gives uids out of a range and remembers them in a file; group ids are the same numbers.

    A uid comes back only after `free`, and goes to somebody else only when no process has it.
    """

    def __init__(self, path: Path, uids: range) -> None:
        self._path = path
        self._uids = uids
        self._root = os.geteuid() == 0
        self._next = 0
        self._given: dict[str, int] = {}
        if self._root:
            self._read()

    def of(self, key: str) -> Owner:
        """The user of that key, a new one where it has none. Raises LookupError when all are out.

        A key is `app/<appuuid>` or `build/<id>`.
        """
        if not self._root:
            return Owner()
        uid = self._given.get(key)
        if uid is None:
            uid = self._given[key] = self._unused()
            self._write()
        return Owner(uid, uid)

    async def free(self, key: str) -> None:
        """End everything that still runs as that user; the uid may go to others afterwards."""
        uid = self._given.get(key)
        if uid is None:
            return
        await asyncio.to_thread(kill_user, uid)
        self._given.pop(key, None)
        self._write()

    async def end(self, key: str) -> None:
        """End everything that runs as that user, who keeps the uid."""
        if key in self._given:
            await asyncio.to_thread(kill_user, self._given[key])

    def keys(self) -> set[str]:
        """Who has a uid."""
        return set(self._given)

    def _unused(self) -> int:
        taken, size = set(self._given.values()) | users(), len(self._uids)
        for _ in range(size):
            uid = self._uids[self._next % size]
            self._next += 1
            if uid not in taken:
                return uid
        raise LookupError("every uid of DEIS_RUNTIME_UIDS is in use")

    def _read(self) -> None:
        try:
            found = json.loads(self._path.read_text())
            self._next, given = int(found["next"]), dict(found["given"])
        except (OSError, ValueError, KeyError, TypeError):
            self._next = secrets.randbelow(max(1, len(self._uids) // BLOCK)) * BLOCK
            return
        self._given = {key: uid for key, uid in given.items() if uid in self._uids}

    def _write(self) -> None:
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps({"next": self._next, "given": self._given}))
        draft.chmod(0o600)
        draft.replace(self._path)


def kill_user(uid: int) -> None:
    """SIGKILL to every process of a user until there is none; never for system users."""
    if uid < BLOCK:
        raise ValueError("not a user of applications")
    for _ in range(ROUNDS):
        found = processes_of(uid)
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return
        time.sleep(PAUSE_SECONDS)  # in a thread; what is not our child cannot be waited for


def processes_of(uid: int) -> list[int]:
    """Processes of a user that are no zombies."""
    return [pid for pid, owner in _owners() if owner == uid and not _dead(pid)]


def users() -> set[int]:
    """Every uid that a process of this machine has now."""
    return {owner for _, owner in _owners()}


def _owners() -> list[tuple[int, int]]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                found.append((int(name), _uid(name)))
    return found


def _uid(name: str) -> int:
    # Not the owner of /proc/<pid>: that is root where a process cannot be dumped.
    for line in Path("/proc", name, "status").read_text(errors="replace").splitlines():
        if line.startswith("Uid:"):
            return int(line.split()[1])
    raise OSError("ended meanwhile")


def _dead(pid: int) -> bool:
    stat = stat_of(pid)
    return stat is None or stat[4] in "ZX"
