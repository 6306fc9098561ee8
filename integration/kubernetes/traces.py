"""What a node leaves on the machine: taken before and after, and compared by tests."""

from dataclasses import dataclass
from pathlib import Path

import psutil

from integration.cluster import machine, network
from integration.cluster.binaries import programs
from integration.cluster.commands import run
from integration.cluster.kubelet import hierarchies
from integration.cluster.layout import CGROUP, Layout
from integration.cluster.state import started

LISTED = (*machine.FOLDERS, "/run/netns", "/usr/libexec/kubernetes", "/etc/cni", "/opt/cni")


@dataclass(frozen=True, slots=True)
class Traces:
    """Everything that a node is known to touch outside its own folder."""

    links: str
    routes: str
    rules: str
    sysctls: dict[str, str]
    forwards: str
    folders: tuple[str, ...]
    """Those that exist."""
    shims: tuple[str, ...]
    """Sockets of containerd's shims."""


def traces() -> Traces:
    """The machine as it is now."""
    return Traces(
        links=run("ip", "-brief", "address").stdout,
        routes=run("ip", "route", "show", "table", "all").stdout,
        rules=run("nft", "list", "ruleset").stdout,
        sysctls=machine.sysctls(),
        forwards=Path("/proc/sys/net/ipv4/ip_forward").read_text(),
        folders=tuple(name for name in LISTED if Path(name).exists()),
        shims=tuple(sorted(str(path) for path in Path("/run/containerd/s").glob("*"))),
    )


def remains(layout: Layout) -> list[str]:
    """What there still is of the node itself: [] after its end, and never while it is up."""
    found = ["link"] if network.is_joined() else []
    found += [f"cgroup {path}" for path in hierarchies() if (path / CGROUP).exists()]
    folder = str(layout.folder)
    mounted = Path("/proc/self/mounts").read_text().splitlines()
    found += [f"mount {line}" for line in mounted if folder in line]
    if layout.folder.exists():
        found.append(f"folder {folder}")
    return found + [f"process {name}" for name in processes(layout)]


def processes(layout: Layout) -> list[str]:
    """Processes that run the node's programs, or name its folder."""
    found = []
    kept = str(programs())
    for process in psutil.process_iter(["exe", "cmdline"]):
        exe, words = process.info["exe"] or "", process.info["cmdline"] or []
        ours = exe.startswith(kept) and "/kubectl" not in exe and "/helm" not in exe
        # What has ended and waits for its parent is known here by what it was: psutil keeps that.
        if started(process.pid) is None:
            continue
        if ours or any(str(layout.folder) in word for word in words):
            found.append(f"{process.pid} {exe}")
    return found
