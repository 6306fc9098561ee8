"""What is installed, as values, and what is wrong with it (components.md 8). Pure."""

from collections.abc import Collection, Iterable, Mapping

import msgspec

from deis_bus.contracts.components import ComponentState
from deis_bus.ports import Component


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """A Deployment, StatefulSet or DaemonSet of the platform."""

    component: str
    kind: str
    name: str
    version: str = ""
    image: str = ""
    wanted: int = 0
    ready: int = 0


class PodState(msgspec.Struct, frozen=True, kw_only=True):
    """A pod of a workload."""

    component: str
    name: str
    ready: bool = False
    restarts: int = 0
    crashing: bool = False
    """It has ended, or waits before it is started again."""
    reason: str = ""
    """How it ended last."""
    trouble: str = ""
    """Why it does not start, as the cluster says: `ImagePullBackOff`, `Unschedulable`."""


FEED_ALL = "workflow"
"""In the feed: the newest version of everything that has no entry of its own."""


def is_newer(latest: str, installed: str) -> bool:
    """Whether one version comes after another, number by number; False for what has none."""
    return (
        bool(_numbers(latest))
        and bool(_numbers(installed))
        and (_numbers(latest) > _numbers(installed))
    )


def latest_of(component: str, feed: Mapping[str, str]) -> str:
    """What the feed has for it."""
    return feed.get(component) or feed.get(FEED_ALL, "")


def state(workload: Workload, pods: Iterable[PodState], feed: Mapping[str, str]) -> ComponentState:
    """A workload with its pods, as it is shown."""
    own = [pod for pod in pods if pod.component == workload.component]
    latest = latest_of(workload.component, feed)
    return ComponentState(
        name=workload.component,
        version=workload.version,
        image=workload.image,
        latest=latest,
        wanted=workload.wanted,
        ready=workload.ready,
        problem=_crashed(own) or _missing(workload, own) or _outdated(workload.version, latest),
    )


def _crashed(pods: list[PodState]) -> str:
    worst = max((pod for pod in pods if pod.crashing), key=lambda pod: pod.restarts, default=None)
    if worst is None:
        return ""
    return f"crashed: {worst.name}, {worst.restarts} restarts" + _more(worst.reason)


def _missing(workload: Workload, pods: list[PodState]) -> str:
    if workload.wanted == 0:
        return "missing: none is wanted, it was scaled to 0 or no node takes it"
    trouble = next((pod.trouble for pod in pods if pod.trouble), "")
    if workload.ready >= workload.wanted:
        # Enough of the release before, while an instance of the new one does not start.
        return f"missing: an instance does not start, {trouble}" if trouble else ""
    return f"missing: {workload.ready} of {workload.wanted} ready" + _more(trouble)


def _outdated(version: str, latest: str) -> str:
    if not is_newer(latest, version):
        return ""
    return f"outdated: {version} is installed, {latest} is there"


def _more(word: str) -> str:
    return f", {word}" if word else ""


def unheard(
    states: Iterable[ComponentState], missed: Collection[str]
) -> tuple[ComponentState, ...]:
    """The same, with those that look well and are missed on the bus."""
    silent = "missing: its pods are ready, and it does not answer on the bus"
    return tuple(
        msgspec.structs.replace(one, problem=silent)
        if one.name in missed and not one.problem
        else one
        for one in states
    )


def on_bus(
    expected: Iterable[str], seen: Iterable[Component], feed: Mapping[str, str]
) -> tuple[ComponentState, ...]:
    """Components as they answer on the bus, where nothing else tells of them, by name."""
    there: dict[str, list[Component]] = {name: [] for name in expected}
    for component in seen:
        there.setdefault(component.name, []).append(component)
    return tuple(_on_bus(name, there[name], feed) for name in sorted(there))


def _on_bus(name: str, seen: list[Component], feed: Mapping[str, str]) -> ComponentState:
    if not seen:
        return ComponentState(name=name, wanted=1, problem="missing: nobody answers")
    version, latest = seen[0].version, latest_of(name, feed)
    problem = _outdated(version, latest)
    return ComponentState(
        name=name, version=version, latest=latest, ready=len(seen), problem=problem
    )


def absent(component: str) -> ComponentState:
    """One that should be installed and is not."""
    return ComponentState(name=component, wanted=1, problem="missing: not installed")


def _numbers(version: str) -> tuple[int, ...]:
    words = version.removeprefix("v").split("-")[0].split(".")
    return tuple(map(int, words)) if all(w.isascii() and w.isdigit() for w in words) else ()
