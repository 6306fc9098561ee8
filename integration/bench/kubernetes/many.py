"""Many applications that need nothing: the resync after a start, and what they take in memory."""

import asyncio
import re
import time
from typing import Any

import psutil

from deis_platform.runtime.kubernetes.builds import KEPT_SECONDS
from integration.bench.figures import line
from integration.bench.kubernetes import memory
from integration.bench.kubernetes.installing import moment
from integration.bench.kubernetes.writes import since, written
from integration.cluster.node import Node
from integration.kubernetes.installed import NAMESPACE, Installation
from integration.kubernetes.platform import ClusterPlatform
from integration.kubernetes.victims import BUILDS
from integration.kubernetes.waiting import until
from integration.person import Person
from integration.rest import Reached, Rest

AT_ONCE = 24
REACH_SECONDS = 5.0
QUIET_SECONDS = 10.0
"""After a start, before memory and writes are looked at."""
GIVE_UP_SECONDS = 300.0
CONTROLLER, ROUTER = "deis-controller", "deis-router"
SELECTED = "namespaces,services,deployments.apps"
_QUEUE = re.compile(r"\bqueue\W+apps\b")
_LOOKS = re.compile(r"\blooks\W+(\d+)")


async def make(
    platform: Reached, person: Person, count: int, seconds: float, names: list[str]
) -> None:
    """Make as many applications as that time allows, `count` at most; their names come to `names`.

    Each has a release whose one process type has no instances: namespace, Service, Secret and
    Deployment are there.
    """
    end = time.monotonic() + seconds
    waiting = [f"idle-{number:04}" for number in range(count, 0, -1)]

    async def work(api: Rest) -> None:
        while waiting and time.monotonic() < end:
            names.append(waiting.pop())
            await _make(api, names[-1])

    async with Rest(platform, person) as api, asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work(api))


async def _make(api: Rest, name: str) -> None:
    """A build that no pod ever fetches: its Procfile's one type starts without instances."""
    await api.post("/apps", id=name)
    build = {"image": f"slugs/{name}", "sha": "0" * 40, "procfile": {"worker": "sleep 1"}}
    await api.post(f"/apps/{name}/builds", **build)
    await api.post(f"/apps/{name}/scale", worker=0)


def through(log: str, looks: int) -> str:
    """When so many looks were through, as `kubectl logs --timestamps` has it; else empty."""
    for row in log.splitlines():
        count = _LOOKS.search(row)
        if "worked through" in row and count and _QUEUE.search(row):
            looks -= int(count[1])
            if looks <= 0:
                return row.partition(" ")[0]
    return ""


def measure(platform: ClusterPlatform, idle: dict[str, int], apps: int) -> None:
    """Start controller and router anew beside those applications, and print the figures."""
    installation, node = platform.installation, platform.node
    began = time.monotonic()
    node.kube("get", SELECTED, "-A", "--selector", "heritage=deis", "-o", "json", seconds=120)
    listed = time.monotonic() - began
    _no_builds(node)
    _scale(installation, CONTROLLER, 0)
    before = written(node)
    _scale(installation, CONTROLLER, 1)
    log = _log_of_resync(installation, apps)
    time.sleep(QUIET_SECONDS)
    grown = since(before, written(node))
    taken = moment(through(log, apps)) - _started(installation)
    line(f"resync of {apps} apps that need nothing, from the controller's start", "s", [taken],
         base=[listed], reach=f"< {REACH_SECONDS:g} s", met=taken < REACH_SECONDS,
         note="baseline: kubectl get of their namespaces, Services and Deployments")  # fmt: skip
    told = ", ".join(f"{verb} {what}: {count}" for (verb, what), count in grown.items())
    line("writes to the API server in that resync", "", [sum(grown.values())], reach="none",
         met=not grown, note=told)  # fmt: skip
    _scale(installation, ROUTER, 0)
    _scale(installation, ROUTER, 1)
    time.sleep(QUIET_SECONDS)
    busy = memory.of_services(installation)
    memory.report(busy, f"{apps} apps")
    memory.report_per_app(idle, busy, apps)


def _no_builds(node: Node) -> None:
    """Wait until ended builds are gone, a while after their end: that is no write of a resync."""
    seconds = GIVE_UP_SECONDS + KEPT_SECONDS
    ended = ("pods,secrets", "--selector", "heritage=deis", f"--timeout={seconds:.0f}s")
    node.kube("--namespace", BUILDS, "wait", "--for=delete", *ended, seconds=seconds + 10)


def _scale(installation: Installation, name: str, replicas: int) -> None:
    node, target = installation.node, f"deployment/{name}"
    node.kube("--namespace", NAMESPACE, "scale", target, f"--replicas={replicas}")

    def so_many() -> bool:
        chosen = ("pods", "--selector", f"app={name}")
        pods = installation.get(*chosen)["items"]
        return len(pods) == replicas and all(_ready(pod) for pod in pods)

    until(so_many, f"{replicas} pods of {name}", GIVE_UP_SECONDS)


def _ready(pod: dict[str, Any]) -> bool:
    containers = pod["status"].get("containerStatuses", ())
    return bool(containers) and all(one["ready"] for one in containers)


def _log_of_resync(installation: Installation, apps: int) -> str:
    found: list[str] = []

    def told() -> bool:
        words = ("logs", "--timestamps", "--tail=-1", f"deployment/{CONTROLLER}")
        found[:] = [installation.node.kube("--namespace", NAMESPACE, *words)]
        return bool(through(found[0], apps))

    until(told, "the end of the resync", GIVE_UP_SECONDS)
    return found[0]


def _started(installation: Installation) -> float:
    """When the controller's first process began, seconds since the epoch."""
    (pod,) = installation.pods(CONTROLLER).values()
    own = memory.processes()[pod["metadata"]["uid"]]
    return min(psutil.Process(one.pid).create_time() for one in own if one.name != "pause")
