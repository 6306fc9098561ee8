"""What the controller is told at start."""

from dataclasses import dataclass

import msgspec

from deis_platform.groups import (
    BusSettings,
    DatabaseSettings,
    HealthSettings,
    KubernetesSettings,
    LogSettings,
    ObjectsSettings,
    PlatformSettings,
    RuntimeSettings,
    one_of,
)
from deis_platform.settings import count, duration, env, size, within

DAY_SECONDS = 86_400


def _tags(text: str) -> tuple[tuple[str, str], ...]:
    """Reads a JSON object of texts; raises ValueError."""
    try:
        return tuple(msgspec.json.decode(text or "{}", type=dict[str, str]).items())
    except msgspec.MsgspecError:
        raise ValueError("expected a JSON object of texts") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploySettings:
    """For applications that do not say otherwise: their own tags come first, and so does a variable
    of the same name in their configuration, within the same bounds (api.md 28.2, 29)."""

    seconds: int = env(
        "DEIS_DEPLOY_TIMEOUT",
        120,
        parse=within(1, DAY_SECONDS),
        help="seconds for a batch of new instances",
    )
    batch: int = env(
        "DEIS_DEPLOY_BATCHES",
        0,
        parse=within(0, 1_000),
        help="new instances of a process type at once; 0: as many as there are nodes",
    )
    grace_seconds: int = env(
        "KUBERNETES_POD_TERMINATION_GRACE_PERIOD_SECONDS",
        30,
        parse=within(0, DAY_SECONDS),
        help="seconds from an instance's SIGTERM to its SIGKILL",
    )
    revisions: int = env(
        "KUBERNETES_DEPLOYMENTS_REVISION_HISTORY_LIMIT",
        10,
        parse=within(0, 1_000),
        help="earlier rollouts of an application that a cluster keeps",
    )
    tags: tuple[tuple[str, str], ...] = env(
        "DEIS_DEFAULT_CONFIG_TAGS",
        "",
        parse=_tags,
        help="tags of applications that have none, a JSON object",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Environment of the controller (docs/architecture.md lists the shared groups)."""

    bus: BusSettings
    database: DatabaseSettings
    objects: ObjectsSettings
    platform: PlatformSettings
    health: HealthSettings
    logs: LogSettings
    runtime: RuntimeSettings
    cluster: KubernetesSettings
    deploy: DeploySettings
    api_url: str = env("DEIS_API_URL", "", help="URL of the API that clients are told")
    git_url: str = env("DEIS_GIT_URL", "", help="git address that clients are told")
    artifacts_url: str = env(
        "DEIS_ARTIFACTS_URL", "http://127.0.0.1:8088", help="where runtimes fetch slugs"
    )
    router_url: str = env(
        "DEIS_ROUTER_URL",
        "",
        help="the router, asked for the page of a first deploy (api.md 24.6); empty: nobody is",
    )
    registration_mode: str = env(
        "DEIS_REGISTRATION_MODE",
        "enabled",
        parse=one_of("enabled", "admin_only", "disabled"),
        help="enabled, admin_only or disabled (api.md 3.2)",
    )
    deploys_at_once: int = env(
        "DEIS_DEPLOYS_AT_ONCE", 8, parse=count, help="apps reconciled in parallel"
    )
    turn_seconds: float = env("DEIS_TURN_SECONDS", 30.0, help="how long a write waits for its turn")
    lease_seconds: float = env("DEIS_LEASE_SECONDS", 30.0, parse=duration, help="lease of a push")
    queue_seconds: float = env(
        "DEIS_QUEUE_SECONDS", 900.0, parse=duration, help="how long a push waits for a worker"
    )
    pack_bytes: int = env("DEIS_PACK_LIMIT", "1GB", parse=size, help="pack of one push")
    slug_bytes: int = env("DEIS_SLUG_LIMIT", "1GB", parse=size, help="one slug or source")
    slugs_kept: int = env(
        "DEIS_SLUGS_KEPT",
        20,
        parse=count,
        help="newest successful releases that can be rolled back to",
    )
    build_seconds: float = env(
        "DEIS_BUILD_SECONDS", 900.0, parse=duration, help="time of one build"
    )
    build_output_bytes: int = env(
        "DEIS_BUILD_OUTPUT_LIMIT", "10MB", parse=size, help="output of one build"
    )
    config_bytes: int = env(
        "DEIS_CONFIG_LIMIT", "512KB", parse=size, help="configuration of an application"
    )
    instances: int = env(
        "DEIS_INSTANCES_LIMIT", 1000, parse=count, help="instances of one process type"
    )
    logins_per_minute: int = env(
        "DEIS_LOGINS_PER_MINUTE", 10, parse=count, help="logins of one user from one address"
    )
    events_days: float = env(
        "DEIS_EVENTS_DAYS", 30.0, parse=duration, help="events kept, in table and stream"
    )
    events_bytes: int = env("DEIS_EVENTS_LIMIT", "2GB", parse=size, help="events on the bus")
    buildlogs_days: float = env(
        "DEIS_BUILDLOGS_DAYS", 7.0, parse=duration, help="output of builds kept"
    )
    buildlogs_bytes: int = env("DEIS_BUILDLOGS_LIMIT", "1GB", parse=size, help="output of builds")
    dead_days: float = env(
        "DEIS_DEAD_DAYS", 30.0, parse=duration, help="messages kept that nobody could handle"
    )
    dead_bytes: int = env(
        "DEIS_DEAD_LIMIT", "256MB", parse=size, help="messages that nobody could handle"
    )
    resync_seconds: float = env(
        "DEIS_RESYNC_SECONDS", 30.0, parse=duration, help="period of the full comparison"
    )
