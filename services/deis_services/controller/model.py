"""The controller's values: rows as frozen structs, and nothing that does anything."""

import datetime

import msgspec


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody with an account."""

    id: int
    username: str
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    is_superuser: bool = False
    is_staff: bool = False
    is_active: bool = True
    token_generation: int = 1
    last_login: datetime.datetime | None = None
    date_joined: datetime.datetime | None = None


class App(msgspec.Struct, frozen=True, kw_only=True):
    """An application. `uuid` is its identity, `id` its name."""

    uuid: str
    id: str
    owner_id: int
    owner: str
    structure: dict[str, int] = {}
    procfile_structure: dict[str, str] = {}
    wanted_version: int = 0
    generation: int = 0
    created: datetime.datetime
    updated: datetime.datetime


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration of a release; never edited, a change makes a new one."""

    uuid: str = ""
    app: str = ""
    owner: str = ""
    values: dict[str, str] = {}
    memory: dict[str, str] = {}
    cpu: dict[str, str] = {}
    tags: dict[str, str] = {}
    registry: dict[str, str] = {}
    healthcheck: dict[str, dict[str, object]] = {}
    lifecycle_post_start: dict[str, str] = {}
    lifecycle_pre_stop: dict[str, str] = {}
    termination_grace_period: dict[str, str] = {}
    created: datetime.datetime | None = None
    updated: datetime.datetime | None = None


GROUPS = (
    "values",
    "memory",
    "cpu",
    "tags",
    "registry",
    "healthcheck",
    "lifecycle_post_start",
    "lifecycle_pre_stop",
    "termination_grace_period",
)
"""The groups of a Config that a request may change."""


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """What a release runs: a slug (`image` is its object key) or an image."""

    uuid: str
    app: str
    owner: str
    image: str
    sha: str = ""
    procfile: dict[str, str] = {}
    dockerfile: str = ""
    created: datetime.datetime
    updated: datetime.datetime

    @property
    def kind(self) -> str:
        """`dockerfile`, `buildpack` or `image` (api.md 7)."""
        if self.dockerfile:
            return "dockerfile"
        return "buildpack" if self.sha else "image"


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A numbered pair of build and configuration."""

    uuid: str
    app: str
    owner: str
    version: int
    summary: str
    state: str
    exception: str | None = None
    config: str
    build: str | None = None
    stages: dict[str, float] = {}
    created: datetime.datetime
    updated: datetime.datetime


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A write that waits its turn; `input` is what its kind needs."""

    id: str
    app: str
    app_id: str
    kind: str
    caller_id: int
    caller: str
    state: str
    input: dict[str, object] = {}
    waits: bool = False
    """A push waits for its turn without the 30 s limit."""
    version: int | None = None
    previous: dict[str, object] = {}
    """What to go back to when it fails: `structure` and `version`."""
    push: str | None = None
    traceparent: str = ""
    created: datetime.datetime
    started: datetime.datetime | None = None
    deadline: datetime.datetime | None = None
