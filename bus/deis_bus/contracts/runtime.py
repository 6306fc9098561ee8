"""The runtime port's values, and the requests by which the local runtime is reached (DESIGN 6)."""

import msgspec

from deis_bus.rpc import Empty, Method


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """What an instance runs: exactly one of `slug` and `image` is set."""

    slug: str = ""
    """Object key of the slug."""
    url: str = ""
    """Where the slug is fetched, on the gateway's `artifacts`."""
    token: str = ""
    """Bearer token for `url`, valid for this application's slugs only."""
    image: str = ""


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """A readiness check: HTTP when `path` is set, else a TCP connection."""

    path: str = ""
    initial_delay_seconds: float = 0.0
    period_seconds: float = 1.0
    timeout_seconds: float = 5.0
    failure_threshold: int = 3


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A process type and how many instances of it should run."""

    type: str
    count: int
    command: str = ""
    """The Procfile's line; empty starts the image's own command."""
    routable: bool = False
    memory_bytes: int = 0
    """The limit; 0: none."""
    memory_request_bytes: int = 0
    """What it is scheduled with; 0: the limit."""
    cpus: float = 0.0
    cpu_request: float = 0.0
    probe: Probe | None = None
    """The one of HEALTHCHECK_URL."""
    probes: dict[str, dict[str, object]] = {}
    """`livenessProbe` and `readinessProbe` as Kubernetes writes them (api.md 8.6)."""
    post_start: str = ""
    pre_stop: str = ""
    tags: dict[str, str] = {}
    grace_seconds: float = 30.0


class AppSpec(msgspec.Struct, frozen=True, kw_only=True):
    """All that should run of one application. A runtime refuses a `generation` older than the
    one it holds (Refused 409 `stale`); applying the same one again changes nothing."""

    app: str
    appuuid: str
    generation: int
    release: int
    artifact: Artifact
    environment: dict[str, str]
    processes: tuple[Process, ...]
    deploy_timeout_seconds: float = 120.0
    """How long one batch of new instances may take."""
    batch: int = 0
    """How many of a type are started at once; 0: as many as there are nodes (api.md 24.3)."""
    revisions: int = 10
    """How many earlier rollouts a cluster keeps (api.md 28.2)."""
    pull_secret: dict[str, str] = {}
    traceparent: str = ""


class AppRef(msgspec.Struct, frozen=True, kw_only=True):
    """An application by name and identity."""

    app: str
    appuuid: str
    generation: int = 0


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One running thing, as `ps` shows it; states as in api.md 10.2."""

    name: str
    type: str
    release: int
    state: str
    started: str
    """RFC 3339; the present time where it has not started."""
    address: str = ""
    reason: str = ""
    restarts: int = 0


class AppStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far a runtime is with the spec it holds."""

    generation: int
    """0: the runtime holds nothing of this application."""
    release: int = 0
    ready: dict[str, int] = {}
    """Ready instances of this release, by process type."""
    settled: bool = False
    """Everything wanted is ready, in the route table, and nothing old runs any more or is
    wanted: the deploy is done."""
    serving: bool = False
    """Every wanted instance is ready and routed; old ones may still be ending."""
    failure: str = ""
    """Why it will not become ready (crash loop, timeout, image), in words for the user."""
    stages: dict[str, float] = {}
    instances: tuple[Instance, ...] = ()


class Restart(msgspec.Struct, frozen=True, kw_only=True):
    """Replace instances: all, of a type, or one by name; new ones are ready before old ones go."""

    app: str
    appuuid: str
    type: str = ""
    instance: str = ""


class Restarted(msgspec.Struct, frozen=True):
    """The instances afterwards."""

    instances: tuple[Instance, ...]


class RunTask(msgspec.Struct, frozen=True, kw_only=True):
    """A one-off command with the release's artifact and environment.

    Its input and output go over byte stream `stream` (the runtime is the acceptor), which ends
    with the exit code.
    """

    app: str
    appuuid: str
    release: int
    instance: str
    """Its name: `<app>-run-<5 letters or digits>`."""
    artifact: Artifact
    environment: dict[str, str]
    command: str
    stream: str
    tty: bool = False
    columns: int = 80
    rows: int = 24
    time_limit_seconds: float = 1200.0
    memory_bytes: int = 0
    cpus: float = 0.0
    tags: dict[str, str] = {}
    pull_secret: dict[str, str] = {}


class BuildRun(msgspec.Struct, frozen=True, kw_only=True):
    """A one-shot build: runs the slugbuilder in isolation, its output goes over `stream`.

    The task fetches `source_url`, restores and stores the cache, and puts the slug, all with
    tokens of its own; the exit code ends the stream. `id` names attempt and build, so a second
    start of the same id attaches nothing and is refused 409 `running`.
    """

    id: str
    kind: str
    app: str
    appuuid: str
    sha: str
    source_url: str
    source_token: str
    slug_url: str
    slug_token: str
    cache_url: str = ""
    cache_token: str = ""
    environment: dict[str, str]
    """The application's configuration, as env-dir."""
    stream: str
    time_limit_seconds: float = 900.0
    output_limit_bytes: int = 10 * 1024 * 1024
    slug_limit_bytes: int = 1024 * 1024 * 1024
    memory_bytes: int = 0


class BuildStop(msgspec.Struct, frozen=True):
    """End a build task of that id, if it still runs."""

    id: str


class BuildJoin(msgspec.Struct, frozen=True, kw_only=True):
    """Hear a build again after its stream was lost: its output from byte `heard` on, and its end.

    A build that has ended is kept for a while. Refused 404 where there is none of that id.
    """

    id: str
    stream: str
    heard: int


APPLY = Method("runtime", "app.apply", AppSpec, Empty)
REMOVE = Method("runtime", "app.remove", AppRef, Empty)
STATUS = Method("runtime", "app.status", AppRef, AppStatus)
RESTART = Method("runtime", "app.restart", Restart, Restarted)
RUN = Method("runtime", "task.run", RunTask, Empty)
BUILD = Method("runtime", "task.build", BuildRun, Empty)
BUILD_JOIN = Method("runtime", "task.join", BuildJoin, Empty)
BUILD_STOP = Method("runtime", "task.stop", BuildStop, Empty)


class HeldApps(msgspec.Struct, frozen=True):
    """Every application the runtime holds something of, for the resync."""

    apps: tuple[AppRef, ...]
    epoch: str = ""
    """Another word after every start of the service: what it held before is gone."""


HELD = Method("runtime", "app.held", Empty, HeldApps)
