"""Objects as files below one folder, written whole or not at all."""

import asyncio
import contextlib
import errno
import os
import secrets
import shutil
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, TypeVar

from deis_bus.errors import Transient
from deis_platform.objects.port import (
    CHUNK_BYTES,
    BadKey,
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
STALE_SECONDS = 24 * 3600.0
"""Longer than any upload; the folder is shared with other processes that write."""
_TRIES = 1000
"""Deletes of neighbours that may take one folder away from under one write."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


class DirectoryStore:
    """Implements ObjectStore. `folder` is made when it is needed."""

    def __init__(self, folder: Path, *, min_free_bytes: int = 0) -> None:
        self._folder = folder
        self._min_free = min_free_bytes

    async def put(
        self, key: str, chunks: AsyncIterator[bytes], *, max_bytes: int = 0
    ) -> ObjectInfo:
        """Into a file of its own, synced, then renamed."""
        path = self._path(key)
        fresh = self._folder / WRITING / secrets.token_hex(16)
        try:
            with self._new_file(fresh) as file:
                await _fill(file, chunks, max_bytes)
                return await _off_loop(lambda: _settle(file, fresh, path, key))
        finally:
            with contextlib.suppress(OSError):  # gone already where all went well
                fresh.unlink()

    async def sweep(self, older_than: float = STALE_SECONDS) -> int:
        """Remove what nobody finished writing: killed writers leave it. Gives how many files."""

        def remove() -> int:
            limit, found = time.time() - older_than, 0
            for path in (self._folder / WRITING).glob("*"):
                with contextlib.suppress(FileNotFoundError):
                    if path.stat().st_mtime <= limit:
                        path.unlink()
                        found += 1
            return found

        return await _off_loop(remove)

    @asynccontextmanager
    async def get(self, key: str) -> AsyncIterator[tuple[ObjectInfo, AsyncIterator[bytes]]]:
        """An open file keeps its content though its name may go."""
        path = self._path(key)
        with _opened(path, key) as file:
            yield _info(key, os.fstat(file.fileno())), _chunks(file)

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

    def _new_file(self, fresh: Path) -> IO[bytes]:
        with _mapped():
            self._made(fresh.parent)
            return fresh.open("xb", buffering=0)

    def _made(self, folder: Path) -> Path:
        # The mode holds for the last folder only; what lies below the first is closed by it.
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
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


async def _fill(file: IO[bytes], chunks: AsyncIterator[bytes], max_bytes: int) -> None:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if max_bytes and size > max_bytes:
            raise TooLarge(f"more than {max_bytes} bytes")
        await _off_loop(lambda chunk=chunk: _write(file, chunk))  # type: ignore[misc]


def _write(file: IO[bytes], chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[file.write(view) :]


def _settle(file: IO[bytes], fresh: Path, path: Path, key: str) -> ObjectInfo:
    """On disk first, then under its name, then the name on disk."""
    os.fsync(file.fileno())
    info = _info(key, os.fstat(file.fileno()))
    for _ in range(_TRIES):
        if _renamed(fresh, path):
            break
    else:
        raise Transient("the object store is away: its folders vanish while it writes")
    with contextlib.suppress(FileNotFoundError):  # a delete of the new object took the folder away
        _sync_folder(path.parent)
    return info


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _renamed(fresh: Path, path: Path) -> bool:
    """False when a delete took an empty folder away in between: the caller tries again."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.replace(path)
    except FileNotFoundError:
        return False
    except FileExistsError:
        # mkdir says so too of a folder that was there and is gone when it looks what it is.
        if any(_is_object(parent) for parent in path.parents):
            raise
        return False
    return True


def _is_object(path: Path) -> bool:
    try:
        return not stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _opened(path: Path, key: str) -> IO[bytes]:
    with _mapped():
        try:
            if path.is_file():
                return path.open("rb", buffering=0)
        except (FileNotFoundError, NotADirectoryError):
            pass
    raise NoObject(key)


def _stat(path: Path, key: str) -> os.stat_result:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise NoObject(key) from None
    if not stat.S_ISREG(found.st_mode):
        raise NoObject(key)
    return found


def _info(key: str, found: os.stat_result) -> ObjectInfo:
    # A new content is a new file: its number and times tell it from the one before.
    return ObjectInfo(
        key, found.st_size, f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"
    )


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    while chunk := await _off_loop(lambda: file.read(CHUNK_BYTES)):
        yield chunk


async def _off_loop(call: Callable[[], T]) -> T:
    """In a thread. A cancelled caller waits for its end too: a file must not be closed under it."""
    with _mapped():
        task = asyncio.create_task(asyncio.to_thread(call))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            while not task.done():
                with contextlib.suppress(asyncio.CancelledError):  # once more: it changes nothing
                    await asyncio.wait({task})
            if not task.cancelled():
                task.exception()  # read, or it would be reported as never retrieved
            raise


@contextlib.contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as fault:
        # A file system has no object beside others that begin with its key and a slash.
        raise BadKey("the key lies within another object, or others lie within it") from fault
    except OSError as fault:
        if fault.errno in _FULL:
            raise StoreFull("the object store is full") from fault
        raise Transient(f"the object store is away: {fault.strerror}") from fault
