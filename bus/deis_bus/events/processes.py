"""Instances as a runtime sees them."""

from deis_bus.events import Event


class InstanceChanged(Event, frozen=True):
    """An instance is in another state than before (api.md 10.2 names the states)."""

    TYPE = "instance.changed"
    instance: str
    process_type: str
    version: int
    state: str
    reason: str = ""


class InstanceCrashed(Event, frozen=True):
    """An instance ended by itself; `restarts` counts how often in a row."""

    TYPE = "instance.crashed"
    instance: str
    process_type: str
    version: int
    exit_code: int
    restarts: int = 0


class RunEnded(Event, frozen=True):
    """A one-off command ended."""

    TYPE = "run.ended"
    instance: str
    exit_code: int
