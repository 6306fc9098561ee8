"""Trees into gzip tars: the same tree gives the same bytes."""

import gzip
import hashlib
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from deis_services.slugbuilder.errors import BuildError

LEVEL = 1
"""zlib's fastest: slugs are fetched over a short wire, packing is what a push waits for."""


def fingerprint(root: Path) -> str:
    """A word that changes when a path, a content or a mode below the folder does."""
    digest = hashlib.blake2b(digest_size=16)
    for path in walk(root):
        status = path.lstat()
        name = os.fsencode(path.relative_to(root))
        digest.update(b"%d:%s:%o:" % (len(name), name, status.st_mode))
        if path.is_symlink():
            digest.update(os.fsencode(os.readlink(path)))
        elif path.is_file():
            with path.open("rb") as content:
                digest.update(hashlib.file_digest(content, "blake2b").digest())
    return digest.hexdigest()


def pack(
    root: Path,
    archive: Path,
    *,
    newest: float | None = None,
    leave_out: Callable[[str], bool] = lambda _: False,
    limit_bytes: int,
    what: str,
) -> int:
    """Write a folder's content, paths relative to it; gives the archive's size in bytes.

    Times later than `newest` become `newest`, owners root. Raises BuildError when it grows past
    the limit.
    """
    with archive.open("wb") as raw:
        bounded = _Bounded(raw, limit_bytes, what)
        with (
            gzip.GzipFile("", "wb", LEVEL, bounded, 0) as packed,
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
        ):
            for path in walk(root, leave_out):
                _add(tar, path, root, newest)
        return bounded.written


def walk(root: Path, leave_out: Callable[[str], bool] = lambda _: False) -> Iterator[Path]:
    """Everything below a folder in one fixed order, links not followed."""
    waiting = [root]
    while waiting:
        entries = sorted(os.scandir(waiting.pop()), key=lambda entry: entry.name)
        folders = []
        for entry in entries:
            path = Path(entry.path)
            if leave_out(path.relative_to(root).as_posix()):
                continue
            yield path
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
        waiting.extend(reversed(folders))


def check_links(root: Path, leave_out: Callable[[str], bool]) -> None:
    """Raises BuildError for a link that leads out of the folder: the slug runs elsewhere."""
    real = root.resolve()
    for path in walk(root, leave_out):
        if path.is_symlink():
            target = os.readlink(path)
            end = (path.parent.resolve() / target).resolve()
            if os.path.isabs(target) or (end != real and real not in end.parents):
                raise BuildError(
                    f"The slug holds a link leading out: {path.relative_to(root)} -> {target}"
                )


def _add(tar: tarfile.TarFile, path: Path, root: Path, newest: float | None) -> None:
    if stat.S_ISSOCK(path.lstat().st_mode):  # tar knows no sockets
        return
    tar.inodes = {}  # type: ignore[attr-defined] # a file linked twice is stored twice
    member = tar.gettarinfo(path, "./" + path.relative_to(root).as_posix())
    if not (member.isreg() or member.isdir() or member.issym()):
        return
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mode = (0o755 if member.mode & 0o100 else 0o644) if member.isreg() else 0o755
    member.mtime = int(min(member.mtime, newest) if newest is not None else member.mtime)
    if member.isreg():
        with path.open("rb") as content:
            tar.addfile(member, content)
    else:
        tar.addfile(member)


class _Bounded:
    """A file to write to that counts, and ends the build when it holds too much."""

    def __init__(self, raw: IO[bytes], limit: int, what: str) -> None:
        self.written = 0
        self._raw = raw
        self._limit = limit
        self._what = what

    def write(self, data: bytes) -> int:
        self.written += len(data)
        if self.written > self._limit:
            raise BuildError(f"{self._what} is larger than {self._limit} bytes")
        return self._raw.write(data)

    def flush(self) -> None:
        self._raw.flush()
