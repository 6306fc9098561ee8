"""How far the files of a node were read, kept in a file on that node.

Written whole beside the old one and renamed, so that a kill leaves one or the other. What cannot be
read counts as none: everything that still lies there is sent again, and the loggers drop doubles.
"""

import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from deis_platform.logs import get_logger
from deis_services.shipper.model import Key, Pod, Position, is_container, is_plain

log = get_logger(__name__)

NAME = "positions.json"
MOST_BYTES = 64 * 1024 * 1024


class SavedFile(msgspec.Struct, frozen=True):
    """A file and how far it was read."""

    key: Key
    position: Position


class Saved(msgspec.Struct, frozen=True):
    """A container: its pod, and its files, the oldest first."""

    pod: Pod
    container: str
    files: list[SavedFile]


class _Whole(msgspec.Struct, frozen=True):
    containers: list[Saved]
    version: int = 1


class Positions:
    """The file in `folder`, which is made where it is absent."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / NAME
        self._lock = threading.Lock()

    def load(self) -> list[Saved]:
        """What was saved last; nothing where there is nothing, or nothing that makes sense."""
        try:
            with self._path.open("rb") as file:
                whole = msgspec.json.decode(file.read(MOST_BYTES), type=_Whole)
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError) as fault:
            log.warning("positions cannot be read, beginning anew", fault=str(fault))
            return []
        return [saved for saved in whole.containers if _sound(saved)]

    def save(self, containers: Iterable[Saved]) -> None:
        """Write them down; on the disk when it returns. Raises OSError. Blocks, one at a time."""
        with self._lock:
            self._save(containers)

    def _save(self, containers: Iterable[Saved]) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = self._path.with_suffix(".new")
        data = msgspec.json.encode(_Whole(list(containers)))
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            with memoryview(data) as rest:
                at = 0
                while at < len(data):
                    at += os.write(handle, rest[at:])
            os.fsync(handle)
        except OSError:
            with suppress(OSError):
                beside.unlink()
            raise
        finally:
            os.close(handle)
        beside.replace(self._path)


def _sound(saved: Saved) -> bool:
    return is_plain(saved.pod) and is_container(saved.container)
