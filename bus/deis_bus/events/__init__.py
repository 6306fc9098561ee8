"""The registry: type name to class and back.

An event is a frozen struct in the past tense, named after its type: `build.done` is
`BuildDone`. A changed event is a new version of its class beside the old one, never an edit
that an old reader could not decode. No secrets and no whole rows.
"""

from typing import ClassVar

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all events; `TYPE` and `VERSION` go into the envelope."""

    TYPE: ClassVar[str]
    VERSION: ClassVar[int] = 1


from deis_bus.events import apps, builds, fleet, processes, releases  # noqa: E402

_MODULES = (apps, builds, fleet, processes, releases)


def _collect() -> dict[str, type[Event]]:
    found: dict[str, type[Event]] = {}
    for module in _MODULES:
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Event) and value is not Event:
                found[value.TYPE] = value
    return dict(sorted(found.items()))


REGISTRY: dict[str, type[Event]] = _collect()
"""Every event type that exists, by name."""
