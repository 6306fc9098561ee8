"""Ends a node and undoes all it did, from any process, also after a kill -9 of its starter.

The node's network namespace and cgroup say which processes are its own, so nothing else can be
hit and nothing that was started in between is missed. The order matters: processes, then mounts,
then links and cgroups (which are busy while processes live), then files.
"""

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path

from integration.cluster import machine, network
from integration.cluster.errors import ClusterError
from integration.cluster.kubelet import hierarchies
from integration.cluster.layout import CGROUP, Layout
from integration.cluster.mounts import unmount
from integration.cluster.state import State, load, pids

END_SECONDS = 30.0
_PAUSE_SECONDS = 0.05


def clean(layout: Layout) -> bool:
    """End the node of this folder; False when there is none. Raises ClusterError."""
    state = load(layout)
    if state is None:
        return False
    _end_watchdog(state)
    _end_processes(layout)
    unmount(layout.folder)
    network.part()
    _remove_cgroups()
    machine.remove_folders(state.folders)
    machine.restore_sysctls(state.sysctls)
    _remove(layout)
    return True


def _end_watchdog(state: State) -> None:
    watchdog = state.watchdog
    if watchdog is not None and watchdog.pid != os.getpid() and watchdog.alive():
        os.kill(watchdog.pid, signal.SIGKILL)


def _end_processes(layout: Layout) -> None:
    until = time.monotonic() + END_SECONDS
    while left := processes(layout):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > until:
            raise ClusterError(f"processes of the node do not end: {sorted(left)}")
        time.sleep(_PAUSE_SECONDS)


def processes(layout: Layout) -> set[int]:
    """All that run in the node's network, and in its pods."""
    return (_in_network(layout.net) | _in_pods()) - {os.getpid(), 0}  # 0: of no number here


def _in_network(net: Path) -> set[int]:
    """The node's programs, the pods on the node's network, and who else was sent in."""
    if not os.path.ismount(net):
        return set()
    ours = net.stat()
    found = set()
    for pid in pids():
        with contextlib.suppress(OSError):  # it may end meanwhile; a zombie has no network
            its = os.stat(f"/proc/{pid}/ns/net")
            if (its.st_dev, its.st_ino) == (ours.st_dev, ours.st_ino):
                found.add(pid)
    return found


def _in_pods() -> set[int]:
    """Pods have networks of their own; their processes are known by the node's cgroup."""
    found = set()
    for hierarchy in hierarchies():
        for path in (hierarchy / CGROUP).rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                found |= {int(line) for line in path.read_text().split()}
    return found


def _remove_cgroups() -> None:
    for hierarchy in hierarchies():
        top = hierarchy / CGROUP
        groups = [path for path in top.rglob("*") if path.is_dir()]
        for group in [*sorted(groups, reverse=True), *([top] if top.exists() else [])]:
            _remove_cgroup(group)


def _remove_cgroup(group: Path) -> None:
    """A group is busy for a moment after its last process ended."""
    until = time.monotonic() + END_SECONDS
    while True:
        try:
            return group.rmdir()
        except FileNotFoundError:
            return None
        except OSError as fault:
            if time.monotonic() > until:
                raise ClusterError(f"{group} cannot be removed: {fault.strerror}") from fault
        time.sleep(_PAUSE_SECONDS)


def _remove(layout: Layout) -> None:
    """The state last: a cleaning that was cut short can be done again."""
    for path in layout.folder.iterdir():
        if path == layout.state:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    layout.state.unlink()
    layout.folder.rmdir()
