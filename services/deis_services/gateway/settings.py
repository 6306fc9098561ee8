"""What the gateway is told at start."""

from dataclasses import dataclass

from deis_platform.groups import (
    BusSettings,
    HealthSettings,
    LogSettings,
    ObjectsSettings,
    PlatformSettings,
)
from deis_platform.settings import Address, count, duration, env, size


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Environment of the gateway (docs/architecture.md lists the shared groups)."""

    bus: BusSettings
    objects: ObjectsSettings
    platform: PlatformSettings
    health: HealthSettings
    logs: LogSettings
    address: Address = env(
        "DEIS_GATEWAY_ADDRESS", Address("127.0.0.1", 8000), help="where the API listens"
    )
    artifacts: Address = env(
        "DEIS_ARTIFACTS_ADDRESS", Address("127.0.0.1", 8088), help="where slugs are served"
    )
    deadline_seconds: float = env(
        "DEIS_REQUEST_SECONDS", 30.0, parse=duration, help="how long a request on the bus may take"
    )
    body_bytes: int = env("DEIS_BODY_LIMIT", "2MB", parse=size, help="body of a request")
    artifact_bytes: int = env("DEIS_SLUG_LIMIT", "1GB", parse=size, help="one slug or source")
    streams: int = env(
        "DEIS_GATEWAY_STREAMS", 1000, parse=count, help="streams open at the same time"
    )
