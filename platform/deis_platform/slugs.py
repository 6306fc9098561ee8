"""Unpacks a slug, on the standard library alone: what starts in an app's container does it too.

Nothing is written through a link: links are made last, and then each must end inside.

On one machine it is run as `python -I -S -E slugs.py ARCHIVE FOLDER`; FOLDER must not exist yet. A
program of its own, so that a bomb costs only its own memory. Exit code 0: all is there, and
read-only. 1: the slug is not one that may run; the sentence is on standard output. 75: this
machine could not (disk full); again later.
"""

import errno
import os
import resource
import shutil
import sys
import tarfile

TYPE_CHECKING = False  # importing typing would double the time of a start
if TYPE_CHECKING:
    from typing import Protocol

    class Source(Protocol):
        """What is read front to back, as a file opened for reading bytes."""

        def read(self, size: int = -1, /) -> bytes:
            """The next bytes; empty at the end."""
            ...


MAX_FILES = 300_000
MAX_BYTES = 4 * 1024 * 1024 * 1024
MAX_MEMORY = 512 * 1024 * 1024
REFUSED, LATER = 1, 75
MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE)
CLOSED, OPEN = 0o555, 0o755
SPECIAL_BITS = 0o7000
CHUNK = 256 * 1024


class BadSlug(Exception):
    """The slug is refused, with a sentence for the user."""


def main(words: list[str]) -> int:
    """Unpack; gives the exit code."""
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY, MAX_MEMORY))
    try:
        extract(words[0], words[1])
    except BadSlug as fault:
        sys.stdout.write(str(fault))
        return REFUSED
    except OSError as fault:
        sys.stdout.write(f"The slug cannot be unpacked: {fault.strerror}")
        return LATER if fault.errno in MACHINE else REFUSED
    except MemoryError:
        sys.stdout.write("The slug cannot be unpacked: its headers are too large")
        return REFUSED
    return 0


def extract(
    archive: str, folder: str, max_files: int = MAX_FILES, max_bytes: int = MAX_BYTES
) -> None:
    """Unpack a gzip tar into a new folder, read-only. Raises BadSlug, OSError."""
    os.mkdir(folder, 0o700)
    with open(archive, "rb") as source:
        unpack(source, folder, max_files, max_bytes, CLOSED)
    for place, _, _ in os.walk(folder, topdown=False):
        os.chmod(place, CLOSED)


def unpack(
    source: "Source",
    folder: str,
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BYTES,
    mode: int = OPEN,
) -> None:
    """Unpack a gzip tar that is read once, front to back, into an empty folder.

    Files get as much of `mode` as they had: OPEN leaves them their owner's, CLOSED is for reading
    only. Raises BadSlug, OSError; then the folder holds a part.
    """
    links: dict[str, str] = {}
    files = size = 0
    try:
        # A stream only needs `read`.
        with tarfile.open(fileobj=source, mode="r|gz") as tar:  # type: ignore[call-overload]
            for member in tar:
                files, size = files + 1, size + max(0, member.size)
                if files > max_files or size > max_bytes:
                    raise BadSlug("The slug holds too much: too many files, or too large ones")
                _member(tar, member, folder, links, mode)
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as fault:
        raise BadSlug(f"The slug is not a gzip tar archive: {fault}") from fault
    except OSError as fault:
        if fault.errno is None:  # gzip's own word for bytes that are not its
            raise BadSlug(f"The slug is not a gzip tar archive: {fault}") from fault
        raise
    _link(links, folder)


def _member(
    tar: tarfile.TarFile, member: tarfile.TarInfo, folder: str, links: dict[str, str], mode: int
) -> None:
    path = _inside(member.name, folder)
    if not (member.issym() or member.isdir()) and member.mode & SPECIAL_BITS:
        raise BadSlug(f"The slug holds a setuid or setgid file: {member.name}")
    if path == folder or member.isdir():
        _folder(path, member.name)
        return
    _folder(os.path.dirname(path), member.name)
    if os.path.isdir(path):
        raise BadSlug(f"The slug replaces a folder: {member.name}")
    links.pop(path, None)
    if member.issym():
        links[path] = member.linkname
    elif member.isreg():
        _file(tar, member, path, mode)
    elif member.islnk():
        _hard_link(member, path, folder)
    else:
        raise BadSlug(f"The slug holds a device or pipe: {member.name}")


def _inside(name: str, folder: str) -> str:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise BadSlug(f"The slug holds a path leading out: {name}")
    return os.path.join(folder, *parts)


def _folder(path: str, name: str) -> None:
    try:
        os.makedirs(path, OPEN, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise BadSlug(f"The slug replaces a file with a folder: {name}") from None


def _file(tar: tarfile.TarFile, member: tarfile.TarInfo, path: str, mode: int) -> None:
    source = tar.extractfile(member)
    if source is None:
        raise BadSlug(f"The slug holds a file without content: {member.name}")
    if os.path.lexists(path):
        os.unlink(path)
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "wb") as out:
        shutil.copyfileobj(source, out, CHUNK)
        os.fchmod(out.fileno(), mode if member.mode & 0o100 else mode & ~0o111)
    os.utime(path, (member.mtime, member.mtime))


def _hard_link(member: tarfile.TarInfo, path: str, folder: str) -> None:
    source = _inside(member.linkname, folder)
    if not os.path.isfile(source):
        raise BadSlug(f"The slug holds a link to nothing: {member.name}")
    if source != path:
        if os.path.lexists(path):
            os.unlink(path)
        os.link(source, path)


def _link(links: dict[str, str], folder: str) -> None:
    """Make the links, then see that each ends inside, through however many others it goes."""
    for path, target in links.items():
        if os.path.lexists(path):
            raise BadSlug(f"The slug holds a link over something: {os.path.relpath(path, folder)}")
        os.symlink(target, path)
    root = os.path.realpath(folder)
    for path, target in links.items():
        end = os.path.realpath(path)
        if target.startswith("/") or (end != root and not end.startswith(root + os.sep)):
            raise BadSlug(
                f"The slug holds a link leading out: {os.path.relpath(path, folder)} -> {target}"
            )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
