"""What one build is told, all of it through the environment."""

import ctypes
import os
import sys
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from pathlib import Path

NOT_DUMPABLE = 4
GB = 1024 * 1024 * 1024
OURS = (
    "SOURCE_URL",
    "SOURCE_TOKEN",
    "SLUG_URL",
    "SLUG_TOKEN",
    "CACHE_URL",
    "CACHE_TOKEN",
    "ENV_DIR",
    "SOURCE_VERSION",
    "SLUG_LIMIT_BYTES",
)


@dataclass(frozen=True, kw_only=True)
class Task:
    """One build. URLs are of `artifacts`; each token opens its own URL only."""

    source_url: str
    source_token: str = field(repr=False)
    slug_url: str
    slug_token: str = field(repr=False)
    cache_url: str = ""
    """Empty: no cache is restored or stored."""
    cache_token: str = field(repr=False, default="")
    env_dir: Path | None = None
    """Folder with one file per configuration value of the application."""
    version: str = ""
    """The pushed commit."""
    slug_limit_bytes: int = GB
    work: Path

    @property
    def result_url(self) -> str:
        """Where the result goes: beside the slug."""
        return self.slug_url + ".json"


def take(environ: MutableMapping[str, str], work: Path) -> Task:
    """The task, taken out of the environment: no buildpack finds it there. Raises KeyError."""
    told = {name: environ.pop(name, "") for name in OURS}
    for name in ("SOURCE_URL", "SLUG_URL"):
        if not told[name]:
            raise KeyError(name)
    return Task(
        source_url=told["SOURCE_URL"],
        source_token=told["SOURCE_TOKEN"],
        slug_url=told["SLUG_URL"],
        slug_token=told["SLUG_TOKEN"],
        cache_url=told["CACHE_URL"],
        cache_token=told["CACHE_TOKEN"],
        env_dir=Path(told["ENV_DIR"]) if told["ENV_DIR"] else None,
        version=told["SOURCE_VERSION"],
        slug_limit_bytes=int(told["SLUG_LIMIT_BYTES"] or GB),
        work=work,
    )


def close_to_others() -> None:
    """Linux: what we were started with cannot be read out of /proc by what the build runs."""
    if sys.platform == "linux" and os.geteuid() != 0:
        ctypes.CDLL(None).prctl(NOT_DUMPABLE, 0, 0, 0, 0)
