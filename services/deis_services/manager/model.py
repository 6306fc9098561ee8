"""What is installed, as values, and what is wrong with it (components.md 8). Pure."""

from collections.abc import Iterable, Mapping

import msgspec

from deis_bus.contracts.components import ComponentState
from deis_bus.events import Event
from deis_bus.events.fleet import ComponentCrashed, ComponentMissing, ComponentOutdated
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
    restarts: int = 0
    crashing: bool = False
    """It waits before it is started again."""
    reason: str = ""
    """How it ended last."""


FEED_ALL = "workflow"
"""In the feed: the newest version of everything that has no entry of its own."""


def component_of(name: str) -> str:
    """`controller` of `deis-controller`; the manager has a longer name than its service."""
    short = name.removeprefix("deis-")
    return {"workflow-manager": "manager", "log-shipper": "shipper"}.get(short, short)


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
    latest = latest_of(workload.component, feed)
    crashing = [pod for pod in pods if pod.component == workload.component and pod.crashing]
    problem = ""
    if crashing:
        problem = f"crashed: {crashing[0].name}, {crashing[0].restarts} restarts"
        problem += f", {crashing[0].reason}" if crashing[0].reason else ""
    elif workload.ready < workload.wanted:
        problem = f"missing: {workload.ready} of {workload.wanted} ready"
    elif is_newer(latest, workload.version):
        problem = f"outdated: {latest} is there"
    return ComponentState(
        name=workload.component,
        version=workload.version,
        image=workload.image,
        latest=latest,
        wanted=workload.wanted,
        ready=workload.ready,
        problem=problem,
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
    problem = f"outdated: {latest} is there" if is_newer(latest, version) else ""
    return ComponentState(
        name=name, version=version, latest=latest, ready=len(seen), problem=problem
    )


def absent(component: str) -> ComponentState:
    """One that should be installed and is not."""
    return ComponentState(name=component, wanted=1, problem="missing: not installed")


class Told:
    """What was told already, so that each thing is told once."""

    def __init__(self) -> None:
        self._restarts: dict[str, int] = {}
        self._outdated: dict[str, str] = {}
        self._missing: set[str] = set()

    def crashes(self, pods: Iterable[PodState]) -> list[Event]:
        """A restart more than last time; what a pod had at the first look is no news."""
        events: list[Event] = []
        seen = {}
        for pod in pods:
            seen[pod.name] = pod.restarts
            if pod.restarts > self._restarts.get(pod.name, pod.restarts):
                events.append(
                    ComponentCrashed(
                        component=pod.component,
                        instance=pod.name,
                        restarts=pod.restarts,
                        reason=pod.reason,
                    )
                )
        self._restarts = seen
        return events

    def outdated(self, states: Iterable[ComponentState]) -> list[Event]:
        """A newer version than last time."""
        events: list[Event] = []
        for one in states:
            if is_newer(one.latest, one.version) and self._outdated.get(one.name) != one.latest:
                self._outdated[one.name] = one.latest
                events.append(
                    ComponentOutdated(component=one.name, version=one.version, latest=one.latest)
                )
        return events

    def missing(self, states: Iterable[ComponentState], silent: Iterable[str]) -> list[Event]:
        """Of `silent`, those that nobody would miss on the bus: none ready any more."""
        gone = {one.name for one in states if one.wanted and not one.ready}
        gone &= set(silent)
        events: list[Event] = [
            ComponentMissing(component=name) for name in sorted(gone - self._missing)
        ]
        self._missing = gone
        return events


def _numbers(version: str) -> tuple[int, ...]:
    words = version.removeprefix("v").split("-")[0].split(".")
    return tuple(map(int, words)) if all(w.isascii() and w.isdigit() for w in words) else ()
