"""The groups of settings that services share."""

from collections.abc import Callable
from dataclasses import dataclass

from deis_platform.settings import Address, address, count, duration, env, size

FORMATS = ("plain", "json")
LEVELS = ("debug", "info", "warning", "error")


def one_of(*words: str) -> Callable[[str], str]:
    """Reads a setting that is one of these words."""

    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return text.lower()

    return parse


@dataclass(frozen=True, slots=True, kw_only=True)
class BusSettings:
    """Where NATS is and who we are there."""

    url: str = env("DEIS_NATS_URL", "nats://127.0.0.1:4222", help="the NATS server")
    user: str = env("DEIS_NATS_USER", "", help="user of this service; empty: none")
    password_file: str = env("DEIS_NATS_PASSWORD_FILE", "", help="file that holds its password")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """Where PostgreSQL is."""

    url: str = env(
        "DEIS_DATABASE_URL", "postgresql://deis@127.0.0.1:5432/deis", help="the database"
    )
    password_file: str = env("DEIS_DATABASE_PASSWORD_FILE", "", help="file that holds the password")
    connections: int = env(
        "DEIS_DATABASE_CONNECTIONS", 10, parse=count, help="pooled connections at most"
    )
    statement_seconds: float = env(
        "DEIS_DATABASE_STATEMENT_SECONDS",
        10.0,
        parse=duration,
        help="after which a statement is given up",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectsSettings:
    """Where sources, slugs and caches are kept."""

    url: str = env("DEIS_OBJECTS_URL", help="object store, e.g. file:///var/lib/deis/objects")
    min_free_bytes: int = env(
        "DEIS_MIN_FREE_DISK", "1GB", parse=size, help="free disk below which pushes are refused"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSettings:
    """Where `/healthz`, `/readiness` and `/metrics` answer."""

    address: Address = env(
        "DEIS_HEALTH_ADDRESS", "127.0.0.1:0", parse=address, help="health and metrics"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformSettings:
    """What is the same everywhere on one platform."""

    domain: str = env("DEIS_DOMAIN", "localhost", help="domain of the platform; empty: any")
    secret_file: str = env(
        "DEIS_SECRET_FILE", "", help="the platform's master key, made where it is absent"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """How a service logs."""

    format: str = env("DEIS_LOG_FORMAT", "plain", parse=one_of(*FORMATS), help="plain or json")
    level: str = env("DEIS_LOG_LEVEL", "info", parse=one_of(*LEVELS), help=", ".join(LEVELS))
