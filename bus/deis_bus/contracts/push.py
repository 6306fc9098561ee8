"""The builder's requests to the controller: one push, from key to outcome (DESIGN 5).

A push row is the lock: while one of an application is unfinished, no other is opened. The
row's identity is also the build's. Whoever holds the row renews its lease of 30 s.
"""

import msgspec

from deis_bus.rpc import Empty, Method


class KeyLookup(msgspec.Struct, frozen=True):
    """Who owns the SSH key with this fingerprint (MD5, lower-case hex pairs with colons)?"""

    fingerprint: str


class KeyOwner(msgspec.Struct, frozen=True):
    """The owner of a key."""

    username: str


class RepoOpen(msgspec.Struct, frozen=True):
    """May this key's owner read (`upload`) or write (`receive`) the application's repository?"""

    fingerprint: str
    app: str
    write: bool


class RepoOpened(msgspec.Struct, frozen=True):
    """Yes; the repository is kept under `appuuid`."""

    username: str
    app: str
    appuuid: str


class PushOpen(msgspec.Struct, frozen=True):
    """Begin a push. Refused 403, 404, or 409 with kind `busy` while another one is open."""

    fingerprint: str
    app: str
    holder: str
    """Identity of the SSH session that holds the row while receiving."""


class PushOpened(msgspec.Struct, frozen=True, kw_only=True):
    """A push row in state `receiving`."""

    push: str
    number: int
    app: str
    appuuid: str
    username: str
    lease_seconds: float
    max_pack_bytes: int
    traceparent: str = ""


class PushRenew(msgspec.Struct, frozen=True):
    """Renew the lease; refused 409 kind `lost` when the row is no longer held so."""

    push: str
    holder: str
    attempt: int = 0


class PushClose(msgspec.Struct, frozen=True):
    """The session ended before anything was received (cut off, refused by fsck, empty …)."""

    push: str
    holder: str
    reason: str


class PushReceived(msgspec.Struct, frozen=True, kw_only=True):
    """The tree is in the object store under `source`; the row becomes `queued`.

    Answered with state `released` at once when the commit is already released and current.
    """

    push: str
    holder: str
    sha: str
    ref: str
    source: str
    receive_seconds: float = 0.0


class PushRead(msgspec.Struct, frozen=True):
    """Where is this push now?"""

    push: str
    why: bool = False
    """Also what its release waits for, as the runtime sees it."""


class PushState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a push is: `receiving`, `queued`, `building`, `releasing`, then one of the ends
    `released` (version), `failed` (reason), `superseded` or `closed` (reason)."""

    push: str
    number: int
    app: str
    appuuid: str
    state: str
    attempt: int = 0
    sha: str = ""
    version: int = 0
    reason: str = ""
    stages: dict[str, float] = {}
    """Seconds per stage so far: receive, queue, build, release, deploy."""
    waiting: str = ""
    """Where asked: why an instance of the release is not ready yet, for the user."""


FINAL = ("released", "failed", "superseded", "closed")


class BuildTake(msgspec.Struct, frozen=True):
    """A worker asks for work. `kinds` it can build: `buildpack`, later `dockerfile`."""

    worker: str
    kinds: tuple[str, ...] = ("buildpack",)


class BuildTask(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of one build; empty `push` means there is nothing to do.

    `environment` is the application's configuration (it reaches the build as env-dir only).
    """

    push: str = ""
    number: int = 0
    attempt: int = 0
    app: str = ""
    appuuid: str = ""
    username: str = ""
    sha: str = ""
    source: str = ""
    environment: dict[str, str] = {}
    cache: bool = True
    lease_seconds: float = 30.0
    time_limit_seconds: float = 900.0
    output_limit_bytes: int = 10 * 1024 * 1024
    slug_limit_bytes: int = 1024 * 1024 * 1024
    traceparent: str = ""


KEY_LOOKUP = Method("controller", "key.lookup", KeyLookup, KeyOwner)
REPO_OPEN = Method("controller", "repo.open", RepoOpen, RepoOpened)
PUSH_OPEN = Method("controller", "push.open", PushOpen, PushOpened)
PUSH_RENEW = Method("controller", "push.renew", PushRenew, Empty)
PUSH_CLOSE = Method("controller", "push.close", PushClose, Empty)
PUSH_RECEIVED = Method("controller", "push.received", PushReceived, PushState)
PUSH_READ = Method("controller", "push.read", PushRead, PushState)
BUILD_TAKE = Method("controller", "build.take", BuildTake, BuildTask)


class AppsAlive(msgspec.Struct, frozen=True):
    """Which of these identities are applications now? For cleaners."""

    appuuids: tuple[str, ...]


class AppsAliveAnswer(msgspec.Struct, frozen=True):
    """Those that are."""

    appuuids: tuple[str, ...]


APPS_ALIVE = Method("controller", "apps.alive", AppsAlive, AppsAliveAnswer)
