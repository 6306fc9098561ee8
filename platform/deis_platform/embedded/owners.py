"""Which user a server runs as, and whether that user can reach a folder (DESIGN 8)."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from deis_platform.embedded.errors import ServerFailed

UNPRIVILEGED = ("daemon", "nobody")
"""Who runs PostgreSQL when we are root; not `nobody` first, as nginx' workers are that one."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A user that a server runs as; uid -1 means: the one we are."""

    uid: int = -1
    gid: int = -1

    def own(self, path: Path) -> None:
        """Give a file or folder to this user."""
        if self.uid >= 0:
            os.chown(path, self.uid, self.gid)

    def folder(self, path: Path) -> Path:
        """Make a folder that only this user may enter."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
        self.own(path)
        return path


def postgres_owner(setting: str = "") -> Owner:
    """PostgreSQL refuses to run as root: DEIS_POSTGRES_USER, else an unprivileged system user.

    Raises ServerFailed when there is none.
    """
    if os.geteuid() != 0:
        return Owner()
    for name in (setting,) if setting else UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Owner(entry.pw_uid, entry.pw_gid)
    raise ServerFailed(
        "PostgreSQL does not run as root: set DEIS_POSTGRES_USER to another user of this machine"
    )


def barrier(path: Path, owner: Owner) -> Path | None:
    """The first folder above `path` that the owner may not pass; None when the way is free."""
    if owner.uid < 0:
        return None
    for folder in reversed(path.absolute().parents):
        if not folder.exists():
            return None
        stat = folder.stat()
        bits = stat.st_mode
        if stat.st_uid == owner.uid:
            bits >>= 6
        elif stat.st_gid == owner.gid:
            bits >>= 3
        if not bits & 1:
            return folder
    return None
