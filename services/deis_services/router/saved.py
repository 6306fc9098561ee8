"""The last good table on disk: a journal of entries, one JSON line each, the last of a key wins.

A change stands here before its revision is reported, so that a router which starts while the
bus is away never serves what other routers have already dropped.
"""

import base64
import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from deis_bus.ports import Entry

SLACK = 2000
"""Lines more than keys before the journal is written anew."""


class _Line(msgspec.Struct, array_like=True):
    key: str
    revision: int
    data: str | None


class Journal:
    """The file `path`, mode 0600."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, Entry] = {}
        self._lines = 0
        self._torn = False
        """The file lacks something: a line was not written, or cut short."""
        self._file = -1

    def open(self) -> list[Entry]:
        """Read what is there (torn or foreign lines are left out) and write it anew."""
        with contextlib.suppress(FileNotFoundError):
            for raw in self._path.read_bytes().splitlines():
                with contextlib.suppress(msgspec.MsgspecError, ValueError):
                    self._take(_decoded(raw))
        self._rewrite()
        return sorted(self._entries.values(), key=lambda entry: entry.revision)

    def append(self, entries: Iterable[Entry]) -> None:
        """Keep these changes. Raises OSError when the disk does not take them; the next call tries
        again to keep them."""
        taken = list(entries)
        for entry in taken:
            self._take(entry)
        if self._torn or self._lines + len(taken) > 2 * len(self._entries) + SLACK:
            self._rewrite()
            return
        text = b"".join(map(_encoded, taken))
        self._torn = True
        if os.write(self._file, text) != len(text):
            raise OSError("the journal of routes was cut short: disk full?")
        self._torn = False
        self._lines += len(taken)

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _take(self, entry: Entry) -> None:
        if entry.data is None:
            self._entries.pop(entry.key, None)
        else:
            self._entries[entry.key] = entry

    def _rewrite(self) -> None:
        fresh = self._path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            with os.fdopen(os.dup(descriptor), "wb") as file:
                file.writelines(map(_encoded, self._entries.values()))
            fresh.replace(self._path)
        except BaseException:
            os.close(descriptor)
            raise
        self.close()
        self._file = descriptor
        self._lines = len(self._entries)
        self._torn = False


def _encoded(entry: Entry) -> bytes:
    data = None if entry.data is None else base64.b64encode(entry.data).decode()
    return msgspec.json.encode(_Line(entry.key, entry.revision, data)) + b"\n"


def _decoded(raw: bytes) -> Entry:
    line = msgspec.json.decode(raw, type=_Line)
    data = None if line.data is None else base64.b64decode(line.data, validate=True)
    return Entry(line.key, data, line.revision)
