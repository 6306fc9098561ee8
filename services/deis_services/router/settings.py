"""What the router is told at start."""

from dataclasses import dataclass
from pathlib import Path

from deis_platform.groups import BusSettings, HealthSettings, LogSettings, PlatformSettings
from deis_platform.settings import Address, count, env, size, span


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Environment of the router (docs/architecture.md lists the shared groups)."""

    bus: BusSettings
    platform: PlatformSettings
    health: HealthSettings
    logs: LogSettings
    http: Address = env(
        "DEIS_ROUTER_HTTP", Address("127.0.0.1", 8080), help="where requests come in"
    )
    https: Address | None = env(
        "DEIS_ROUTER_HTTPS", None, help="where they come in over TLS; empty: nowhere"
    )
    folder: Path = env("DEIS_ROUTER_FOLDER", help="last good table, certificates, nginx")
    ports: range = env(
        "DEIS_ROUTER_PORTS",
        "20000-29999",
        parse=span(1024, 65535, most=10_000),
        help="ports an instance can have",
    )
    api: Address = env("DEIS_ROUTER_API", Address("127.0.0.1", 8000), help="the gateway")
    certificate: str = env("DEIS_ROUTER_CERTIFICATE", "", help="platform certificate, PEM file")
    key: str = env("DEIS_ROUTER_KEY", "", help="its key; without both a self-signed one is made")
    nginx: str = env("DEIS_NGINX", "", help="nginx to run; empty: the one of the wheel")
    workers: int = env("DEIS_ROUTER_WORKERS", 1, parse=count, help="nginx worker processes")
    idle_seconds: int = env(
        "DEIS_ROUTER_IDLE_SECONDS",
        1300,
        parse=count,
        help="silence after which a connection is given up",
    )
    body_bytes: int = env(
        "DEIS_ROUTER_BODY_LIMIT", "1GB", parse=size, help="body of an application's request; 0: any"
    )
