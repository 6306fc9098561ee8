"""What the runtime is told at start."""

from dataclasses import dataclass
from pathlib import Path

from deis_platform.groups import BusSettings, HealthSettings, LogSettings
from deis_platform.settings import env, size, span


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Environment of the runtime (docs/architecture.md lists the shared groups)."""

    bus: BusSettings
    health: HealthSettings
    logs: LogSettings
    folder: Path = env("DEIS_RUNTIME_FOLDER", help="slugs and the files of instances")
    ports: range = env(
        "DEIS_RUNTIME_PORTS",
        "20000-29999",
        parse=span(1024, 65535),
        help="ports of instances",
    )
    images: str = env(
        "DEIS_LOCAL_IMAGES", "", help="file that maps image names to folders; empty: no images"
    )
    build_env: str = env(
        "DEIS_BUILD_ENV", "", help="variables of ours that a build also gets, by comma"
    )
    uids: range = env(
        "DEIS_RUNTIME_UIDS",
        "1900000000-1999999999",
        parse=span(10_000, 2**32 - 3),
        help="as root: users of applications and builds, one each",
    )
    slug_bytes: int = env("DEIS_SLUG_LIMIT", "1GB", parse=size, help="one slug or source")
