"""What the manager is told at start."""

from dataclasses import dataclass

from deis_bus.contracts.components import COMPONENTS
from deis_platform.groups import (
    BusSettings,
    HealthSettings,
    KubernetesSettings,
    LogSettings,
    RuntimeSettings,
)
from deis_platform.settings import duration, env


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Environment of the manager (docs/architecture.md lists the shared groups)."""

    bus: BusSettings
    health: HealthSettings
    logs: LogSettings
    components: tuple[str, ...] = env(
        "DEIS_COMPONENTS",
        (*COMPONENTS, "runtime"),
        help="what should run; without runtime on Kubernetes",
    )
    servers: tuple[str, ...] = env(
        "DEIS_SERVERS",
        (),
        help="on Kubernetes, what should run there besides: nats, database, objects",
    )
    runtime: RuntimeSettings
    cluster: KubernetesSettings
    feed: str = env(
        "DEIS_VERSIONS_URL", "", help="file or URL with the newest versions, JSON; empty: none"
    )
    feed_seconds: float = env(
        "DEIS_VERSIONS_SECONDS", 43_200.0, parse=duration, help="between two readings of it"
    )
    interval_seconds: float = env(
        "DEIS_MANAGER_SECONDS", 5.0, parse=duration, help="between two looks"
    )
