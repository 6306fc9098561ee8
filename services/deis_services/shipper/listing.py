"""The files of a container as they lie there, each under the key that stays with it."""

from collections.abc import Iterable, Mapping

import msgspec

from deis_services.shipper.files import LogFolder, Stat, close, first_of
from deis_services.shipper.model import Key, LogFile, log_file


class Counts(msgspec.Struct):
    """What happened in all containers so far."""

    malformed: int = 0
    """Entries that were none."""
    refused: int = 0
    """Names that were no files of their own."""
    lost: int = 0
    """Lines, about."""


class File(msgspec.Struct, frozen=True):
    """A file as it lies there."""

    named: LogFile
    key: Key
    inode: int
    size: int


def listed(
    logs: LogFolder,
    folder: tuple[str, str],
    before: Iterable[File],
    held: tuple[int, Key] | None,
    counts: Counts,
) -> dict[Key, File]:
    """What lies in the folder now. `before` was there last time; `held` is the inode and the key of
    the file that is open, so that no other one can have that inode. Raises OSError."""
    known = {file.named: file for file in before}
    files: dict[Key, File] = {}
    for name, stat in logs.files(*folder).items():
        named = log_file(name)
        if named is None:
            continue
        if stat is None:
            counts.refused += 1
        elif file := _seen(named, stat, known, held) or _opened(logs, folder, named, counts):
            # While the kubelet compresses a file there are two of it.
            files[file.key] = min(file, files.get(file.key, file), key=lambda f: f.named.packed)
    return files


def _seen(
    named: LogFile, stat: Stat, known: Mapping[LogFile, File], held: tuple[int, Key] | None
) -> File | None:
    """The file, where one can tell without opening it."""
    file = known.get(named)
    same = file is not None and file.inode == stat.inode
    if named.packed:
        return file if same else None  # what is stored is not what is in it
    if held is not None and held[0] == stat.inode:
        return File(named, held[1], stat.inode, stat.size)
    if file is None or not same or not named.is_final:
        return None
    return msgspec.structs.replace(file, size=stat.size)


def _opened(
    logs: LogFolder, folder: tuple[str, str], named: LogFile, counts: Counts
) -> File | None:
    """None for what is none, or has nothing in it yet."""
    try:
        content = logs.open(folder, named.name, named.packed)
    except OSError as fault:
        counts.refused += not isinstance(fault, FileNotFoundError)
        return None
    try:
        first = first_of(content)
        if not first:
            return None
        return File(named, Key(named.restart, first), content.inode(), content.size())
    finally:
        close(content)
