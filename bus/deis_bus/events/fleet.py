"""The platform's own components."""

from deis_bus.events import Event


class ComponentStarted(Event, frozen=True):
    """A component announced itself for the first time."""

    TYPE = "component.started"
    component: str
    instance: str
    version: str


class ComponentMissing(Event, frozen=True):
    """A component that should run has not been heard of for a while."""

    TYPE = "component.missing"
    component: str
    instance: str = ""


class ComponentReturned(Event, frozen=True):
    """A component that was missing is back, or one that crashed is well again."""

    TYPE = "component.returned"
    component: str
    instance: str = ""


class ComponentCrashed(Event, frozen=True):
    """An instance of a component ended by itself; `restarts` counts how often so far."""

    TYPE = "component.crashed"
    component: str
    instance: str
    restarts: int
    reason: str = ""


class ComponentOutdated(Event, frozen=True):
    """A newer version of a component is there than the installed one."""

    TYPE = "component.outdated"
    component: str
    version: str
    latest: str


class ComponentUpdated(Event, frozen=True):
    """A component that was outdated has another version, and no newer one is known."""

    TYPE = "component.updated"
    component: str
    version: str


class MessageBuried(Event, frozen=True):
    """A message could not be handled; `deis-platform dead list` shows it."""

    TYPE = "message.buried"
    subject: str
    durable: str
    reason: str
