"""What is written down of a node, so that any later process can end exactly that node."""

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from integration.cluster.layout import Layout

_START_TIME = 19  # the field of /proc/PID/stat, counted behind the name; see proc(5)


@dataclass(slots=True)
class Process:
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    started: int
    """In clock ticks since the machine's boot."""

    def alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        return started(self.pid) == self.started


@dataclass(slots=True)
class Program(Process):
    """One of the node's own programs, and how it is started again."""

    argv: list[str]


@dataclass(slots=True)
class State:
    """A node, from before its first effect on the machine until the last is undone."""

    ready: bool = False
    owner: Process | None = None
    """Whose end ends the node; None: the time limit alone does."""
    ends_at: float = 0.0
    """The time limit, in seconds since the epoch."""
    watchdog: Process | None = None
    programs: dict[str, Program] = field(default_factory=dict)
    """By name."""
    sysctls: dict[str, str] = field(default_factory=dict)
    """What the kubelet changes of the machine, as it was before."""
    folders: list[str] = field(default_factory=list)
    """Folders outside the node's own that its programs make."""

    def save(self, layout: Layout) -> None:
        """Whole or not at all."""
        fresh = layout.state.with_suffix(".new")
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(self)))
        fresh.rename(layout.state)


def load(layout: Layout) -> State | None:
    """The node that was written down, by an older version of this too; None when there is none."""
    try:
        return msgspec.json.decode(layout.state.read_bytes(), type=State)
    except FileNotFoundError:
        return None


def process(pid: int) -> Process:
    """A running process. Raises ProcessLookupError."""
    if (since := started(pid)) is None:
        raise ProcessLookupError(pid)
    return Process(pid, since)


def started(pid: int) -> int | None:
    """When a process began, in ticks; None when it does not run."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if fields[0] not in "ZX":
            return int(fields[_START_TIME])
    return None


def pids() -> list[int]:
    """All processes of the machine."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]
