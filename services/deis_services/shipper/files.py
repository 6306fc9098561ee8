"""The door to the folder of logs: opens what lies in it, and nothing that a link leads to."""

import contextlib
import itertools
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

import msgspec

from deis_services.shipper.inotify import Inotify

MOST_NAMES = 10_000
"""Looked at in one folder."""
FIRST_BYTES = 64
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_READ_BYTES = 64 * 1024
_SKIP_BYTES = 256 * 1024
_GZIP = zlib.MAX_WBITS | 16
_GZIP_SIZE_BYTES = 4
_GZIP_LEAST = 18


class NotAFile(OSError):
    """A link, a pipe, a file with a second name: not what a kubelet puts there."""


class Stat(msgspec.Struct, frozen=True):
    """What tells that a name still means the same file, and how much it holds as stored."""

    inode: int
    size: int


class Content(Protocol):
    """The bytes of an open log file."""

    def read(self, at: int, size: int) -> bytes | None:
        """Bytes from there on, none at the end; None when the way there took long: ask again."""

    def size(self) -> int:
        """How many there are."""
        ...

    def inode(self) -> int:
        """Of the file, while it is open nobody else's."""
        ...

    def close(self) -> None:
        """Done with it."""


class LogFolder:
    """`/var/log/pods`. Names are single ones; every method raises OSError, NotAFile is one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def watch(self, inotify: Inotify, mask: int, *names: str) -> int:
        """Watch the folder under these names, the one meant now and not one put in its place."""
        with self._folder(names) as handle:
            return inotify.add(f"/proc/self/fd/{handle}", mask)

    def names(self, *names: str) -> list[str]:
        """What lies in it, unsorted, at most `MOST_NAMES`."""
        with self._folder(names) as handle, os.scandir(handle) as entries:
            return [entry.name for entry in itertools.islice(entries, MOST_NAMES)]

    def files(self, *names: str) -> dict[str, Stat | None]:
        """The files in it by name, at most `MOST_NAMES`; None for what is no file of its own."""
        found: dict[str, Stat | None] = {}
        with self._folder(names) as handle, os.scandir(handle) as entries:
            for entry in itertools.islice(entries, MOST_NAMES):
                with contextlib.suppress(FileNotFoundError):
                    found[entry.name] = _own(entry.stat(follow_symlinks=False))
        return found

    def open(self, folder: tuple[str, ...], name: str, packed: bool) -> Content:
        """A file in it, for reading."""
        with self._folder(folder) as handle:
            _single(name)
            file = os.open(name, _FILE, dir_fd=handle)
        if _own(os.fstat(file)) is None:
            os.close(file)
            raise NotAFile(f"not a file of its own: {name!r}")
        return Packed(file) if packed else Plain(file)

    @contextmanager
    def _folder(self, names: tuple[str, ...]) -> Iterator[int]:
        handle = os.open(self._path, _FOLDER)
        try:
            for name in names:
                _single(name)
                inner = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=handle)
                os.close(handle)
                handle = inner
            yield handle
        finally:
            os.close(handle)


class Plain:
    """A file as it is written."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def read(self, at: int, size: int) -> bytes:
        """Bytes from there on."""
        return os.pread(self._handle, size, at)

    def size(self) -> int:
        """How many there are now."""
        return os.fstat(self._handle).st_size

    def inode(self) -> int:
        """Of the file."""
        return os.fstat(self._handle).st_ino

    def close(self) -> None:
        """Done with it."""
        os.close(self._handle)


class Packed:
    """A file that the kubelet has compressed; what is broken in it counts as its end."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._begin()

    def _begin(self) -> None:
        self._unpack = zlib.decompressobj(_GZIP)
        self._raw_at = 0
        self._at = 0
        self._rest = b""
        self._broken = False

    def read(self, at: int, size: int) -> bytes | None:
        """Bytes from there on; on the way there at most a quarter of a megabyte at a time."""
        if at < self._at:
            self._begin()
        budget = _SKIP_BYTES
        while at > self._at:
            if not budget:
                return None
            skipped = self._take(min(at - self._at, budget))
            if not skipped:
                return b""
            budget -= len(skipped)
        data = b""
        while len(data) < size and (more := self._take(size - len(data))):
            data += more
        self._at -= len(data)
        self._rest = data + self._rest
        return data

    def _take(self, size: int) -> bytes:
        if not self._rest:
            self._rest = self._inflate()
        data, self._rest = self._rest[:size], self._rest[size:]
        self._at += len(data)
        return data

    def _inflate(self) -> bytes:
        """Some more bytes, none at the end."""
        while not (self._unpack.eof or self._broken):
            raw = self._unpack.unconsumed_tail
            if not raw:
                raw = os.pread(self._handle, _READ_BYTES, self._raw_at)
                self._raw_at += len(raw)
            try:
                data = self._unpack.decompress(raw, _SKIP_BYTES)
            except zlib.error:
                self._broken = True
                return b""
            if data or not raw:
                return data
        return b""

    def size(self) -> int:
        """As its last bytes tell."""
        stored = os.fstat(self._handle).st_size
        if stored < _GZIP_LEAST:
            return 0
        return int.from_bytes(
            os.pread(self._handle, _GZIP_SIZE_BYTES, stored - _GZIP_SIZE_BYTES), "little"
        )

    def inode(self) -> int:
        """Of the file."""
        return os.fstat(self._handle).st_ino

    def close(self) -> None:
        """Done with it."""
        os.close(self._handle)


def first_of(content: Content) -> str:
    """What tells a file from every other one: its first word, a time, hashed. Empty: not yet there."""
    data = content.read(0, FIRST_BYTES) or b""
    word, space, _ = data.partition(b" ")
    if not space and len(data) < FIRST_BYTES:
        return ""
    return blake2b(word, digest_size=8).hexdigest()


def close(content: Content) -> None:
    """Close, whatever the system says."""
    with contextlib.suppress(OSError):
        content.close()


def _single(name: str) -> None:
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise NotAFile(f"not a name: {name!r}")


def _own(found: os.stat_result) -> Stat | None:
    """A second name may be anybody's file; a link, a folder and a pipe are no log."""
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        return None
    return Stat(found.st_ino, found.st_size)
