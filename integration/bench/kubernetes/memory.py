"""Proportional set size of the platform's pods, from /proc of the machine that the node is on."""

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from integration.bench.figures import line
from integration.bench.memory import pss
from integration.kubernetes.installed import Installation

REACH_MB = 110.0
REACH_ALL_MB = 700.0
OBJECTS = "deis-objects"
"""The object store of the chart: left out of the sum."""
PER_APP = ("deis-controller", "deis-router")
_POD = re.compile(r"[-/]pod([0-9a-f]{8}[-_][-_0-9a-f]{27})[/.]")


class Process(msgspec.Struct, frozen=True):
    """One process of a pod."""

    pid: int
    name: str


def pod_of(cgroups: str) -> str:
    """The uid of the pod that a process belongs to, from its /proc/PID/cgroup; else empty."""
    match = _POD.search(cgroups)
    return match[1].replace("_", "-") if match else ""


def processes(proc: Path = Path("/proc")) -> dict[str, list[Process]]:
    """The machine's processes by the uid of their pod."""
    found: dict[str, list[Process]] = {}
    for folder in proc.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            uid = pod_of((folder / "cgroup").read_text())
            name = (folder / "comm").read_text().strip()
        except OSError:
            continue  # gone
        if uid:
            found.setdefault(uid, []).append(Process(int(folder.name), name))
    return found


def of_services(installation: Installation) -> dict[str, int]:
    """PSS of each service, bytes, all of its processes together."""
    running = processes()
    sizes: dict[str, int] = {}
    for pod in installation.pods().values():
        name = pod["metadata"]["labels"].get("app", "")
        uid = pod["metadata"]["uid"]
        sizes[name] = sizes.get(name, 0) + sum(pss(one.pid) for one in running.get(uid, ()))
    return dict(sorted(sizes.items()))


def report(sizes: Mapping[str, int], when: str) -> None:
    """Print a line for each service, and one for all."""
    for name, size in sizes.items():
        if name == OBJECTS:
            line(f"PSS of {name}, {when}", "MB", [size / 1e6], note="the try-out object store")
        else:
            line(f"PSS of {name}, {when}", "MB", [size / 1e6],
                 reach=f"<= {REACH_MB:g} MB", met=0 < size <= REACH_MB * 1e6)  # fmt: skip
    total = sum(size for name, size in sizes.items() if name != OBJECTS)
    line(f"PSS of all outside the object store, {when}", "MB", [total / 1e6],
         reach=f"< {REACH_ALL_MB:g} MB", met=total < REACH_ALL_MB * 1e6)  # fmt: skip


def report_per_app(idle: Mapping[str, int], busy: Mapping[str, int], apps: int) -> None:
    """Print what an application takes in those that know all of them."""
    for name in PER_APP:
        line(f"{name}, each of {apps} apps", "kB",
             [(busy[name] - idle[name]) / apps / 1e3])  # fmt: skip
