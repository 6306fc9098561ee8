"""Who listens on a TCP port of this machine, from /proc; only what this user may see."""

import os
from pathlib import Path

LISTENING = "0A"


def holder(port: int) -> str:
    """`nginx (process 4711)`, or empty when it cannot be told."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(port)}
    if not sockets:
        return ""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and _has(folder, sockets):
            return f"{_name(folder)} (process {folder.name})"
    return ""


def _inodes(port: int) -> list[str]:
    found: list[str] = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                found.append(fields[9])
    return found


def _has(folder: Path, sockets: set[str]) -> bool:
    try:
        entries = list(os.scandir(folder / "fd"))
    except OSError:
        return False  # another user's, or it has ended
    return any(_target(entry) in sockets for entry in entries)


def _target(entry: os.DirEntry[str]) -> str:
    try:
        return os.readlink(entry)
    except OSError:
        return ""  # closed since


def _name(folder: Path) -> str:
    try:
        return (folder / "comm").read_text().strip()
    except OSError:
        return "a program"
