"""What the runtime is told at start."""

from dataclasses import dataclass
from pathlib import Path

from deis_platform.groups import BusSettings, HealthSettings, LogSettings
from deis_platform.settings import env, size


def port_range(text: str) -> range:
    """`20000-29999` as a range, both ends in it; raises ValueError."""
    first, _, last = text.partition("-")
    if not all(word.isascii() and word.isdigit() for word in (first, last)):
        raise ValueError("expected FIRST-LAST")
    ports = range(int(first), int(last) + 1)
    if not 1024 <= ports.start < ports.stop <= 65536:
        raise ValueError("expected ports between 1024 and 65535")
    return ports


def uid_range(text: str) -> range:
    """`1900000000-1999999999` as a range, both ends in it; raises ValueError."""
    first, _, last = text.partition("-")
    if not all(word.isascii() and word.isdigit() for word in (first, last)):
        raise ValueError("expected FIRST-LAST")
    uids = range(int(first), int(last) + 1)
    if not 10_000 <= uids.start < uids.stop <= 2**32 - 2:
        raise ValueError("expected uids from 10000 on, of no user of this machine")
    return uids


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Environment of the runtime (docs/architecture.md lists the shared groups)."""

    bus: BusSettings
    health: HealthSettings
    logs: LogSettings
    folder: Path = env("DEIS_RUNTIME_FOLDER", help="slugs and the files of instances")
    ports: range = env(
        "DEIS_RUNTIME_PORTS", "20000-29999", parse=port_range, help="ports of instances"
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
        parse=uid_range,
        help="as root: users of applications and builds, one each",
    )
    slug_bytes: int = env("DEIS_SLUG_LIMIT", "1GB", parse=size, help="one slug or source")
