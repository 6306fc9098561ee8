"""Limits of memory and processor: cgroups where this machine lets us, else what rlimits can do.

A group also remembers its members whatever they do, so that nothing of an instance escapes.
"""

import contextlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

ROOT = Path("/sys/fs/cgroup")
PERIOD = 100_000
"""Microseconds over which processor time is counted."""
MIN_QUOTA = 1000
CONTROLLERS = ("memory", "cpu", "pids")
PROCESSES = 4096
"""Processes and threads that an instance (cgroup), or a user of ours (rlimit), may have."""


@dataclass(frozen=True)
class Group:
    """The bounds of one instance or task, and its members where there are cgroups."""

    folders: tuple[Path, ...] = ()
    data_bytes: int = 0
    """RLIMIT_DATA of each process; 0: none, or the memory is bound by a cgroup."""

    @property
    def join(self) -> list[Path]:
        """Files that a process writes its number to in order to be bound."""
        return [folder / "cgroup.procs" for folder in self.folders]

    def members(self) -> set[int]:
        """Processes in it, whatever session they are in."""
        found: set[int] = set()
        for path in self.join:
            with contextlib.suppress(OSError, ValueError):
                found.update(map(int, path.read_text().split()))
        return found

    def remove(self) -> None:
        """Once it is empty; what is not yet is left to the next start."""
        for folder in self.folders:
            with contextlib.suppress(OSError):
                folder.rmdir()


class Limits(Protocol):
    """What this machine can bind."""

    def describe(self) -> str:
        """What is bound and what is not, in a sentence for the operator."""
        ...

    def group(self, memory_bytes: int, cpus: float) -> Group:
        """Bounds for one instance; 0: none."""
        ...

    def sweep(self) -> None:
        """Clean up after a runtime that was killed."""


class Rlimits:
    """Memory per process, no processor time: all that is left without cgroups."""

    def describe(self) -> str:
        """See Limits."""
        return (
            "no writable cgroups on this machine: memory limits hold for each process by itself"
            " (RLIMIT_DATA), processor limits do not hold"
        )

    def group(self, memory_bytes: int, cpus: float) -> Group:
        """See Limits."""
        return Group((), memory_bytes)

    def sweep(self) -> None:
        """See Limits."""


@dataclass(frozen=True)
class Cgroups:
    """One hierarchy (version 2) or one per controller (version 1)."""

    parents: Mapping[str, Path]
    """Where groups are made, by controller."""
    unified: bool
    prefix: str
    """Of the names of all groups of this runtime."""

    def describe(self) -> str:
        """See Limits."""
        version = 2 if self.unified else 1
        lacking = [name for name in ("memory", "cpu") if name not in self.parents]
        less = f"; no controller for {' and '.join(lacking)}" if lacking else ""
        return f"limits hold by cgroups version {version}{less}"

    def sweep(self) -> None:
        """Remove groups that a killed runtime left behind, once nothing is in them."""
        for parent in set(self.parents.values()):
            for folder in parent.glob(f"{self.prefix}*"):
                with contextlib.suppress(OSError):
                    folder.rmdir()

    def group(self, memory_bytes: int, cpus: float) -> Group:
        """See Limits."""
        name = self.prefix + secrets.token_hex(4)
        places = {key: parent / name for key, parent in self.parents.items()}
        folders = tuple(dict.fromkeys(places.values()))
        try:
            for folder in folders:
                folder.mkdir()
            for key, text in self._values(memory_bytes, cpus).items():
                controller = key.partition(".")[0]
                if controller in places:
                    (places[controller] / key).write_text(text)
        except OSError:
            for folder in folders:
                with contextlib.suppress(OSError):
                    folder.rmdir()
            return Group((), memory_bytes)
        return Group(folders, 0 if "memory" in places else memory_bytes)

    def _values(self, memory_bytes: int, cpus: float) -> dict[str, str]:
        quota = max(int(cpus * PERIOD), MIN_QUOTA) if cpus > 0 else 0
        values = {"pids.max": str(PROCESSES)}
        if self.unified:
            values |= {"memory.max": str(memory_bytes)} if memory_bytes else {}
            values |= {"cpu.max": f"{quota} {PERIOD}"} if quota else {}
        else:
            values |= {"memory.limit_in_bytes": str(memory_bytes)} if memory_bytes else {}
            if quota:
                values |= {"cpu.cfs_period_us": str(PERIOD), "cpu.cfs_quota_us": str(quota)}
        return values


def find_limits(name: str, root: Path = ROOT, own: str | None = None) -> Limits:
    """What this machine lets us use.

    `name` tells runtimes on one machine apart; `own` is the text of /proc/self/cgroup.
    """
    where = _own_groups(Path("/proc/self/cgroup").read_text() if own is None else own)
    prefix = f"deis-{name}-"
    if (root / "cgroup.controllers").exists():
        parent = _unified(root, where.get("", "/"))
        return (
            Cgroups(dict.fromkeys(_delegated(parent), parent), True, prefix)
            if parent
            else Rlimits()
        )
    parents = {
        name: place
        for name in CONTROLLERS
        if (place := root / name / where.get(name, "/").lstrip("/")).is_dir() and _usable(place)
    }
    return Cgroups(parents, False, prefix) if parents else Rlimits()


def _own_groups(text: str) -> dict[str, str]:
    """Our group by controller; the unified one under the empty name."""
    found = {}
    for line in text.splitlines():
        _, names, path = line.split(":", 2)
        found.update(dict.fromkeys(names.split(","), path))
    return found


def _unified(root: Path, own: str) -> Path | None:
    """The nearest group, from ours up, below which groups with controllers can be made.

    Ours holds ourselves, so it hands no controllers down, unless it is the root.
    """
    place = root / own.lstrip("/")
    for folder in (place, *place.parents):
        if root not in (folder, *folder.parents):
            break
        if _delegated(folder) and _usable(folder):
            return folder
    return None


def _delegated(folder: Path) -> list[str]:
    with contextlib.suppress(OSError):
        given = (folder / "cgroup.subtree_control").read_text().split()
        return [name for name in CONTROLLERS if name in given]
    return []


def _usable(folder: Path) -> bool:
    """Whether a group can be made there, tried for real: modes do not tell."""
    probe = folder / f"deis-probe-{secrets.token_hex(4)}"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError:
        return False
    return True
