"""The data folder: who owns it, which version wrote it, and that one platform at a time uses it.

    version       the layout's number; a newer one is refused
    lock          held while a platform runs on the folder
    ready.json    there while it runs and answers: addresses, ports, process ids
    secrets/  certificates/  nats/  postgres/  objects/  builder/  runtime/  router/  logs/

Mode 0700. As root 0711, because PostgreSQL and applications run as other users; each folder in it
is 0700 for the user that uses it (DESIGN 8).
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deis_platform.embedded.errors import ServerFailed
from deis_services.platform_cli.options import closed_to_others

LAYOUT = 1
"""Goes up when older programs could not read the folder any more."""
FREE_BYTES = 200_000_000
"""A new platform needs some 120 MB, most of it PostgreSQL's."""
OWN = ("secrets", "certificates", "logs", "objects")
FIRST = {"lock", ".version"}
"""All there is in the folder of a first start that was killed at once."""


class DataFolder:
    """A data folder that this process has locked."""

    def __init__(self, path: Path, *, first: bool) -> None:
        self.path = path
        self.first = first
        """No platform has used it before."""

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def log_file(self) -> Path:
        """What all services log."""
        return self.path / "logs" / "platform.log"

    def announce(self, ready: Mapping[str, Any]) -> None:
        """Write ready.json; others see it whole or not at all."""
        draft = self.path / ".ready.json"
        draft.write_text(json.dumps(ready, indent=2) + "\n")
        draft.chmod(0o600)
        draft.replace(self.path / "ready.json")

    def withdraw(self) -> None:
        """Remove ready.json: the platform is stopping."""
        (self.path / "ready.json").unlink(missing_ok=True)


def problems(path: Path) -> list[str]:
    """What speaks against this folder, one line each; changes nothing."""
    closed = closed_to_others(path) if os.geteuid() == 0 else None
    if closed is not None:
        return [
            f"data folder {path} lies below {closed}, which only its owner may enter: as root,"
            " choose another with --data"
        ]
    existing = next(folder for folder in (path, *path.parents) if _seen(folder))
    if existing == path:
        found = _of_existing(path)
        if found:
            return found
    elif not os.access(existing, os.W_OK | os.X_OK):
        return [f"data folder {path} cannot be made in {existing}: choose another with --data"]
    if shutil.disk_usage(existing).free < FREE_BYTES:
        return [f"less than {FREE_BYTES // 1_000_000} MB free at {path}: choose another --data"]
    return []


@contextmanager
def opened(path: Path) -> Iterator[DataFolder]:
    """Make the folder and its own subfolders and hold its lock. Raises ServerFailed (in use)."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o711 if os.geteuid() == 0 else 0o700)
    lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServerFailed(f"data folder {path} is in use by {_holder(path)}") from None
        os.truncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        folder = DataFolder(path, first=not (path / "version").exists())
        draft = path / ".version"
        draft.write_text(f"{LAYOUT}\n")
        draft.replace(path / "version")  # before the rest: a folder that says nothing is not ours
        for name in OWN:
            (path / name).mkdir(mode=0o700, exist_ok=True)
            (path / name).chmod(0o700)
        folder.withdraw()
        yield folder
    finally:
        os.close(lock)


def running(path: Path) -> dict[str, Any]:
    """What ready.json of a running platform says. Raises ServerFailed when none runs."""
    try:
        found: dict[str, Any] = json.loads((path / "ready.json").read_text())
    except (OSError, ValueError):
        found = {}
    if not found or not in_use(path):
        raise ServerFailed(f"no platform runs on {path}: start it with `deis-platform up`")
    return found


def in_use(path: Path) -> bool:
    """Whether a platform holds the folder's lock."""
    try:
        lock = os.open(path / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _seen(path: Path) -> bool:
    """Whether it exists, as far as this user may look."""
    try:
        return path.exists()
    except PermissionError:
        return False


def _of_existing(path: Path) -> list[str]:
    if not path.is_dir():
        return [f"data folder {path} is not a folder: choose another with --data"]
    if path.stat().st_uid != os.geteuid():
        return [f"data folder {path} belongs to another user: choose another with --data"]
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return [f"data folder {path} cannot be written: choose another with --data"]
    if in_use(path):
        return [f"data folder {path} is in use by {_holder(path)}"]
    version = path / "version"
    if not version.exists():
        if not {entry.name for entry in path.iterdir()} <= FIRST:
            return [f"data folder {path} holds something else: choose another with --data"]
        return []
    text = version.read_text().strip()
    if not text.isdigit() or int(text) > LAYOUT:
        return [
            f"data folder {path} was written by a newer deis-platform (layout {text}, this one"
            f" knows {LAYOUT}): use that one, or choose another with --data"
        ]
    return []


def _holder(path: Path) -> str:
    try:
        text = (path / "lock").read_text().strip()
    except OSError:
        text = ""
    return f"another platform (process {text})" if text.isdigit() else "another platform"
