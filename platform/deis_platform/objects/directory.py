"""Objects as files below one folder, written whole or not at all."""

import asyncio
import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, TypeVar

from deis_bus.errors import Transient
from deis_platform.objects.port import (
    CHUNK_BYTES,
    NoObject,
    ObjectInfo,
    StoreFull,
    TooLarge,
    check_key,
    check_prefix,
)

T = TypeVar("T")
WRITING = ".writing"
"""Where objects grow before they get their names; no key begins with a dot."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


class DirectoryStore:
    """Implements ObjectStore. `folder` is made; what an earlier run left half-written goes."""

    def __init__(self, folder: Path, *, min_free_bytes: int = 0) -> None:
        self._folder = folder
        self._min_free = min_free_bytes

    async def put(
        self, key: str, chunks: AsyncIterator[bytes], *, max_bytes: int = 0
    ) -> ObjectInfo:
        """Into a file of its own, synced, then renamed."""
        path = self._path(key)
        fresh, file = await _off_loop(self._new_file)
        try:
            size = await _fill(file, chunks, max_bytes)
            await _off_loop(lambda: _settle(file, fresh, path))
        except BaseException:
            file.close()
            with contextlib.suppress(FileNotFoundError):
                fresh.unlink()
            raise
        return await self.head(key) if size >= 0 else ObjectInfo(key, size, "")

    @asynccontextmanager
    async def get(self, key: str) -> AsyncIterator[tuple[ObjectInfo, AsyncIterator[bytes]]]:
        """An open file keeps its content though its name may go."""
        path = self._path(key)
        file = await _off_loop(lambda: _open(path, key))
        try:
            yield _info(key, os.fstat(file.fileno())), _chunks(file)
        finally:
            file.close()

    async def head(self, key: str) -> ObjectInfo:
        """From the file's own entry."""
        path = self._path(key)
        return await _off_loop(lambda: _info(key, _stat(path, key)))

    async def delete(self, key: str) -> None:
        """Remove the file, and folders that are empty then."""
        path = self._path(key)
        await _off_loop(lambda: self._remove(path))

    async def delete_prefix(self, prefix: str) -> int:
        """File by file."""

        def remove() -> int:
            found = list(self._files(check_prefix(prefix)))
            for path in found:
                self._remove(path)
            return len(found)

        return await _off_loop(remove)

    async def list(self, prefix: str = "") -> list[ObjectInfo]:
        """By walking the folders."""

        def collect() -> list[ObjectInfo]:
            infos = []
            for path in self._files(check_prefix(prefix)):
                key = path.relative_to(self._folder).as_posix()
                with contextlib.suppress(NoObject):
                    infos.append(_info(key, _stat(path, key)))
            return sorted(infos, key=lambda info: info.key)

        return await _off_loop(collect)

    async def free_bytes(self) -> int | None:
        """Of the file system below the folder."""
        return await _off_loop(lambda: shutil.disk_usage(self._made(self._folder)).free)

    async def has_room(self) -> bool:
        """At least the set minimum is free."""
        free = await self.free_bytes()
        return free is None or free >= self._min_free

    def _path(self, key: str) -> Path:
        return self._folder / check_key(key)

    def _new_file(self) -> tuple[Path, IO[bytes]]:
        fresh = self._made(self._folder / WRITING) / secrets.token_hex(16)
        return fresh, fresh.open("xb", buffering=0)

    def _made(self, folder: Path) -> Path:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def _files(self, prefix: str) -> Iterator[Path]:
        for folder, folders, names in os.walk(self._folder / prefix):
            if WRITING in folders:
                folders.remove(WRITING)
            yield from (Path(folder, name) for name in names)

    def _remove(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            path.unlink()
        with contextlib.suppress(OSError):  # not empty: others live there
            for parent in path.parents:
                if parent == self._folder:
                    break
                parent.rmdir()


async def _fill(file: IO[bytes], chunks: AsyncIterator[bytes], max_bytes: int) -> int:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if max_bytes and size > max_bytes:
            raise TooLarge(f"more than {max_bytes} bytes")
        await _off_loop(lambda chunk=chunk: _write(file, chunk))  # type: ignore[misc]
    return size


def _write(file: IO[bytes], chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[file.write(view) :]


def _settle(file: IO[bytes], fresh: Path, path: Path) -> None:
    """On disk first, then under its name, then the name on disk."""
    os.fsync(file.fileno())
    file.close()
    while True:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A delete may take the empty folder away before the rename.
        with contextlib.suppress(FileNotFoundError):
            fresh.replace(path)
            break
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open(path: Path, key: str) -> IO[bytes]:
    try:
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise NoObject(key) from None


def _stat(path: Path, key: str) -> os.stat_result:
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise NoObject(key) from None


def _info(key: str, stat: os.stat_result) -> ObjectInfo:
    # A new content is a new file: its number and times tell it from the one before.
    return ObjectInfo(key, stat.st_size, f"{stat.st_ino:x}-{stat.st_mtime_ns:x}-{stat.st_size:x}")


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    while chunk := await _off_loop(lambda: file.read(CHUNK_BYTES)):
        yield chunk


async def _off_loop(call: Callable[[], T]) -> T:
    try:
        return await asyncio.to_thread(call)
    except OSError as fault:
        if fault.errno in _FULL:
            raise StoreFull("the object store is full") from fault
        raise Transient(f"the object store is away: {fault.strerror}") from fault
