"""What the logger is told at start."""

from dataclasses import dataclass

from deis_platform.groups import BusSettings, HealthSettings, LogSettings
from deis_platform.settings import count, env, size


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Environment of the logger (docs/architecture.md lists the shared groups)."""

    bus: BusSettings
    health: HealthSettings
    logs: LogSettings
    lines: int = env(
        "DEIS_LOGGER_LINES", 1000, parse=count, help="newest lines kept per application"
    )
    line_bytes: int = env(
        "DEIS_LOGGER_LINE_LIMIT", "16KB", parse=size, help="one line; more than 16KB never travels"
    )
    memory_bytes: int = env(
        "DEIS_LOGGER_MEMORY", "64MB", parse=size, help="for the lines of all applications"
    )
    followers: int = env(
        "DEIS_LOGGER_FOLLOWERS", 1000, parse=count, help="logs followed at the same time"
    )
