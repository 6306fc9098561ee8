"""What the router is told at start."""

from dataclasses import dataclass

from deis_platform.groups import BusSettings, HealthSettings, LogSettings, PlatformSettings
from deis_platform.settings import env


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Environment of the router (docs/architecture.md lists the shared groups)."""

    bus: BusSettings
    platform: PlatformSettings
    health: HealthSettings
    logs: LogSettings
    http: str = env("DEIS_ROUTER_HTTP", "127.0.0.1:8080", help="where requests come in")
    https: str = env("DEIS_ROUTER_HTTPS", "", help="where they come in over TLS; empty: nowhere")
    folder: str = env("DEIS_ROUTER_FOLDER", "router", help="last good table, certificates")
    ports: str = env("DEIS_ROUTER_PORTS", "20000-29999", help="ports an instance can have")
    api: str = env("DEIS_ROUTER_API", "127.0.0.1:8000", help="the gateway's address")
    certificate: str = env("DEIS_ROUTER_CERTIFICATE", "", help="platform certificate, PEM file")
    key: str = env("DEIS_ROUTER_KEY", "", help="its key; without both a self-signed one is made")
    nginx: str = env("DEIS_NGINX", "", help="nginx to run; empty: the one of the wheel")
    workers: int = env("DEIS_ROUTER_WORKERS", 1, help="nginx worker processes")
    idle_seconds: int = env(
        "DEIS_ROUTER_IDLE_SECONDS", 1300, help="silence after which a connection is given up"
    )


def port_range(text: str) -> range:
    """`20000-29999` as a range, both ends in it. Raises ValueError."""
    first, _, last = text.partition("-")
    ports = range(int(first), int(last or first) + 1)
    if not 1024 <= ports.start < ports.stop <= 65536 or len(ports) > 10_000:
        raise ValueError(f"not a range of at most 10000 ports from 1024 on: {text!r}")
    return ports
