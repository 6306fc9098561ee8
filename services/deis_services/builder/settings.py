"""What the builder is told at start."""

from dataclasses import dataclass
from pathlib import Path

from deis_platform.groups import (
    BusSettings,
    HealthSettings,
    KubernetesSettings,
    LogSettings,
    ObjectsSettings,
    PlatformSettings,
    RuntimeSettings,
)
from deis_platform.settings import Address, count, duration, env


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Environment of the builder (docs/architecture.md lists the shared groups)."""

    bus: BusSettings
    objects: ObjectsSettings
    platform: PlatformSettings
    health: HealthSettings
    logs: LogSettings
    runtime: RuntimeSettings
    cluster: KubernetesSettings
    address: Address = env(
        "DEIS_BUILDER_ADDRESS", Address("127.0.0.1", 2222), help="where git over SSH listens"
    )
    folder: Path = env("DEIS_BUILDER_FOLDER", help="host keys and bare repositories")
    builds_at_once: int = env(
        "DEIS_BUILDS_AT_ONCE", 2, parse=count, help="builds this worker runs in parallel"
    )
    artifacts_url: str = env(
        "DEIS_ARTIFACTS_URL", "http://127.0.0.1:8088", help="where builds fetch and put objects"
    )
    git: str = env("DEIS_GIT", "git", help="the git to run")
    connections: int = env(
        "DEIS_BUILDER_CONNECTIONS", 200, parse=count, help="SSH connections at most"
    )
    login_seconds: float = env(
        "DEIS_BUILDER_LOGIN_SECONDS",
        30.0,
        parse=duration,
        help="time to show a key in before the door closes",
    )
    stall_seconds: float = env(
        "DEIS_BUILDER_STALL_SECONDS",
        60.0,
        parse=duration,
        help="silence after which a push is given up",
    )
    alive_seconds: float = env(
        "DEIS_BUILDER_ALIVE_SECONDS",
        10.0,
        parse=duration,
        help="silence after which a waiting push shows `...`",
    )
    archive_seconds: float = env(
        "DEIS_BUILDER_ARCHIVE_SECONDS",
        300.0,
        parse=duration,
        help="time to pack the pushed tree in",
    )
    poll_seconds: float = env(
        "DEIS_BUILDER_POLL_SECONDS",
        5.0,
        parse=duration,
        help="how often a worker looks for work by itself",
    )
    clean_seconds: float = env(
        "DEIS_BUILDER_CLEAN_SECONDS",
        600.0,
        parse=duration,
        help="how often what is left of gone apps is removed",
    )
