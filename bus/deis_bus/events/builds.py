"""A push on its way to a build."""

from deis_bus.events import Event


class PushReceived(Event, frozen=True):
    """The tree of a pushed commit is in the object store and waits for a worker."""

    TYPE = "push.received"
    push: str
    number: int
    sha: str
    ref: str = ""


class PushClosed(Event, frozen=True):
    """A push ended without a build: cut off, refused, or already released."""

    TYPE = "push.closed"
    push: str
    number: int
    reason: str


class BuildStarted(Event, frozen=True):
    """A worker took a push; `build` is the identity of push and build alike."""

    TYPE = "build.started"
    build: str
    attempt: int
    worker: str


class BuildDone(Event, frozen=True):
    """A build made an artifact. As a report it carries what the controller needs of it."""

    TYPE = "build.done"
    build: str
    attempt: int
    sha: str = ""
    artifact: str = ""
    """Object key of the slug, or image name."""
    procfile: dict[str, str] = {}
    dockerfile: bool = False
    slug_bytes: int = 0
    stages: dict[str, float] = {}
    """Seconds each stage took, by its name (`fetch`, `compile`, `upload`, …)."""


class BuildFailed(Event, frozen=True):
    """A build ended without an artifact."""

    TYPE = "build.failed"
    build: str
    attempt: int
    reason: str


class BuildSuperseded(Event, frozen=True):
    """A build was done, but a newer push had been released or another attempt had won."""

    TYPE = "build.superseded"
    build: str
    attempt: int


class BuildCreated(Event, frozen=True):
    """A build is recorded: from a push or from an image by name."""

    TYPE = "build.created"
    build: str
    kind: str
    """`buildpack`, `dockerfile` or `image`."""
