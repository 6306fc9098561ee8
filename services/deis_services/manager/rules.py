"""Who is there, who is missing, who is back: from one look to the next (pure).

A look may miss somebody who is only busy, so a component counts as missing after several looks
without any of its instances; one that was never seen gets longer, for it may still be starting.
"""

from collections.abc import Iterable

from deis_bus.events import Event
from deis_bus.events.fleet import ComponentMissing, ComponentReturned, ComponentStarted
from deis_bus.ports import Component

MISSES = 4
"""Looks in a row without a component that was there, until it is missing."""
FIRST_MISSES = 12
"""The same for one that was never there."""
MAX_INSTANCES = 10_000


class Roll:
    """What was seen so far, of the components that should run and of any other."""

    def __init__(self, expected: Iterable[str]) -> None:
        self.missing: set[str] = set()
        """Components told of as missing."""
        self._expected = tuple(dict.fromkeys(expected))
        self._last: dict[str, str] = {}
        self._looks_without = dict.fromkeys(self._expected, 0)
        self._known: dict[str, None] = {}

    def look(self, seen: Iterable[Component]) -> list[Event]:
        """What is to be told after a look that saw these instances."""
        there = sorted(seen, key=lambda component: (component.name, component.id))
        first = {component.name: component.id for component in reversed(there)}
        told: list[Event] = []
        for name in self._expected:
            instance = first.get(name)
            told += self._gone(name) if instance is None else self._here(name, instance)
        for component in there:
            if component.id not in self._known:
                told.append(_started(component))
            self._remember(component.id)
        self._last |= first
        return told

    def _here(self, name: str, instance: str) -> list[Event]:
        self._looks_without[name] = 0
        if name not in self.missing:
            return []
        self.missing.discard(name)
        return [ComponentReturned(component=name, instance=instance)]

    def _gone(self, name: str) -> list[Event]:
        self._looks_without[name] += 1
        limit = MISSES if name in self._last else FIRST_MISSES
        if name in self.missing or self._looks_without[name] < limit:
            return []
        self.missing.add(name)
        return [ComponentMissing(component=name, instance=self._last.get(name, ""))]

    def _remember(self, instance: str) -> None:
        """The last seen are at the end; what was not seen for long goes first."""
        self._known.pop(instance, None)
        self._known[instance] = None
        while len(self._known) > MAX_INSTANCES:
            del self._known[next(iter(self._known))]


def _started(component: Component) -> Event:
    return ComponentStarted(
        component=component.name, instance=component.id, version=component.version
    )
