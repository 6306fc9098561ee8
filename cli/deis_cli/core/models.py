"""What the API answers, typed; keys we do not use pass unseen (api.md 5 to 20)."""

from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list."""

    results: list[T]
    count: int = 0


class App(msgspec.Struct, frozen=True, kw_only=True):
    """An application."""

    id: str
    uuid: str = ""
    owner: str = ""
    created: str = ""
    updated: str = ""


class Domain(msgspec.Struct, frozen=True):
    """A host name of an application."""

    domain: str


class Pod(msgspec.Struct, frozen=True, kw_only=True):
    """A running instance."""

    name: str
    type: str
    state: str
    release: str
    started: str = ""


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """A build."""

    uuid: str
    created: str = ""
    image: str | None = None
    sha: str | None = None


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration; values may come as anything that is no container."""

    values: dict[str, Any] = {}

    def texts(self) -> dict[str, str]:
        """The environment, as text."""
        return {key: str(value) for key, value in self.values.items()}


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A release."""

    version: int
    created: str = ""
    summary: str | None = None
    owner: str = ""
    updated: str = ""
    uuid: str = ""
    build: str | None = None
    config: str | None = None
    state: str = ""
    exception: str | None = None


class Stages(msgspec.Struct, frozen=True, kw_only=True):
    """Where the seconds of a release went."""

    stages: dict[str, float] = {}
    total: float = 0.0


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """An SSH key."""

    id: str
    public: str


class User(msgspec.Struct, frozen=True, kw_only=True):
    """An account."""

    username: str
    id: int = 0
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    last_login: str | None = None
    is_superuser: bool = False
    is_staff: bool = False
    is_active: bool = True
    date_joined: str | None = None


class Users(msgspec.Struct, frozen=True):
    """Who may use an application."""

    users: list[str] = []


class Token(msgspec.Struct, frozen=True):
    """A token."""

    token: str = ""


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """What the platform says about itself; empty from an original controller."""

    domain: str = ""
    api: str = ""
    git: str = ""
    version: str = ""


class RunResult(msgspec.Struct, frozen=True):
    """How a one-off command ended."""

    exit_code: int
    output: str = ""


class Version(msgspec.Struct, frozen=True):
    """A release's number."""

    version: int


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted operation (`Prefer: respond-async`)."""

    operation: str
    state: str = ""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """How far an operation is."""

    id: str
    state: str
    status: int | None = None
    answer: msgspec.Raw = msgspec.Raw(b"null")
    """Not `Raw | None`: in a union msgspec decodes null only."""


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """Which build's output is served, and how far that push is."""

    build: str
    state: str
