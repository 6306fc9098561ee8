"""Releases, deploys and the operations that make them."""

from deis_bus.events import Event


class ReleaseCreated(Event, frozen=True):
    """A numbered release exists; its deploy begins."""

    TYPE = "release.created"
    version: int
    summary: str
    build: str = ""
    config: str = ""
    operation: str = ""


class ConfigChanged(Event, frozen=True):
    """The configuration of a release differs; the names of the keys only."""

    TYPE = "config.changed"
    version: int
    added: list[str] = []
    changed: list[str] = []
    deleted: list[str] = []


class DeployDone(Event, frozen=True):
    """Every wanted instance of the release is ready and in the route table."""

    TYPE = "deploy.done"
    version: int
    seconds: float
    stages: dict[str, float] = {}
    """Seconds each stage of the way took, from push start to routes."""


class DeployFailed(Event, frozen=True):
    """The release did not become ready; the previous one keeps serving."""

    TYPE = "deploy.failed"
    version: int
    reason: str
    previous: int = 0


class OperationQueued(Event, frozen=True):
    """A write waits for its turn."""

    TYPE = "operation.queued"
    operation: str
    kind: str


class OperationDone(Event, frozen=True):
    """A write reached its end: `succeeded` or `failed`; read the operation for the answer."""

    TYPE = "operation.done"
    operation: str
    kind: str
    state: str
