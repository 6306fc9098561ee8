"""Proportional set size (PSS) of a running platform, read from /proc."""

from pathlib import Path

import msgspec

SERVERS = ("nats-server", "postgres", "nginx")


class Found(msgspec.Struct, frozen=True):
    """Bytes of memory, shared pages counted by their share."""

    total: int
    servers: int
    """NATS, PostgreSQL and nginx."""
    processes: int


def pss_of_platform(root: int) -> Found:
    """Everything that this process started, less the applications' own processes."""
    total = servers = count = 0
    for pid in _tree(root):
        size = pss(pid)
        total += size
        count += size > 0
        name = Path(f"/proc/{pid}/comm").read_text().strip() if size else ""
        servers += size if name in SERVERS else 0
    return Found(total, servers, count)


def _tree(root: int) -> list[int]:
    """The process and all below it; what runs for an application is left out with its children."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            children.setdefault(_parent(int(folder.name)), []).append(int(folder.name))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        if _is_app(pid):
            continue
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])
    except OSError:
        return -1


def _is_app(pid: int) -> bool:
    try:
        return b"DEIS_APP=" in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return True  # gone


def pss(pid: int) -> int:
    """Bytes of one process; 0 for one that is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(row.split()[1]) * 1024 for row in lines if row.startswith("Pss:")), 0)
