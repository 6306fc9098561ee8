"""From one look at the cluster to the next: what is to be told, each thing once (pure).

What was so at the first look is told too, for nobody knows whether a manager before us told it;
only restarts are no news then: a pod may have had them long ago.
"""

from collections.abc import Collection, Iterable

from deis_bus.contracts.components import ComponentState
from deis_bus.events import Event
from deis_bus.events.fleet import (
    ComponentCrashed,
    ComponentMissing,
    ComponentOutdated,
    ComponentReturned,
    ComponentUpdated,
)
from deis_services.manager.model import PodState, is_newer


class Told:
    """What was told already."""

    def __init__(self) -> None:
        self._restarts: dict[str, int] | None = None
        """By pod; None before the first look."""
        self._crashed: set[str] = set()
        self._missing: set[str] = set()
        self._outdated: dict[str, tuple[str, str]] = {}
        """Version and newest version by component."""

    def look(
        self,
        states: Collection[ComponentState],
        pods: Collection[PodState],
        silent: Collection[str],
    ) -> list[Event]:
        """The news. Of `silent`, nobody else hears when they are missing."""
        news = (
            *self._crashes(pods),
            *self._absences([one for one in states if one.name in silent]),
            *self._recoveries(states, pods),
            *self._versions(states),
        )
        # Who crashed and was missing for that is back once.
        return list(dict.fromkeys(news))

    def _crashes(self, pods: Iterable[PodState]) -> list[Event]:
        """A restart more than last time, or than none in a pod that is new."""
        events: list[Event] = []
        before, seen = self._restarts, {}
        for pod in pods:
            seen[pod.name] = pod.restarts
            if before is not None and pod.restarts > before.get(pod.name, 0):
                self._crashed.add(pod.component)
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

    def _absences(self, states: Iterable[ComponentState]) -> list[Event]:
        """None of a component is ready any more, or one is again."""
        events: list[Event] = []
        for one in states:
            if not one.ready and one.name not in self._missing:
                self._missing.add(one.name)
                events.append(ComponentMissing(component=one.name))
            elif one.ready and one.name in self._missing:
                self._missing.discard(one.name)
                events.append(ComponentReturned(component=one.name))
        return events

    def _recoveries(
        self, states: Iterable[ComponentState], pods: Collection[PodState]
    ) -> list[Event]:
        """Who crashed is well once all its pods are ready: one of a crash loop never is for long."""
        events: list[Event] = []
        for one in states:
            ready = all(pod.ready for pod in pods if pod.component == one.name)
            if one.name in self._crashed and ready and one.ready >= max(one.wanted, 1):
                self._crashed.discard(one.name)
                events.append(ComponentReturned(component=one.name))
        return events

    def _versions(self, states: Iterable[ComponentState]) -> list[Event]:
        """A newer version than last time, or another one installed that is new enough."""
        events: list[Event] = []
        for one in states:
            version, latest = self._outdated.get(one.name, ("", ""))
            if is_newer(one.latest, one.version):
                self._outdated[one.name] = (one.version, one.latest)
                if latest != one.latest:
                    events.append(
                        ComponentOutdated(
                            component=one.name, version=one.version, latest=one.latest
                        )
                    )
            elif self._outdated.pop(one.name, None) and one.version != version:
                events.append(ComponentUpdated(component=one.name, version=one.version))
        return events
