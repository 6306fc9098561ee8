"""What the router is told at start."""

import re
from dataclasses import dataclass
from pathlib import Path

from deis_platform.groups import (
    RUNTIMES,
    BusSettings,
    HealthSettings,
    KubernetesSettings,
    LogSettings,
    PlatformSettings,
    one_of,
)
from deis_platform.settings import Address, count, duration, env, size, span

STDERR = "/dev/stderr"


def log_path(text: str) -> str:
    """A path that may stand in nginx' configuration, or nothing; raises ValueError."""
    if not re.fullmatch(r"(/[\w.-]+)*", text):
        raise ValueError("expected an absolute path of letters, digits, dots and hyphens")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Environment of the router (docs/architecture.md lists the shared groups)."""

    bus: BusSettings
    platform: PlatformSettings
    health: HealthSettings
    logs: LogSettings
    kubernetes: KubernetesSettings
    runtime: str = env("DEIS_RUNTIME", "local", parse=one_of(*RUNTIMES), help="local or kubernetes")
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
    connect_seconds: float | None = env(
        "DEIS_ROUTER_CONNECT_SECONDS",
        None,
        parse=duration,
        help="after which an instance that takes no connection is given up; empty: 1, on Kubernetes 3",
    )
    certificates: str = env(
        "DEIS_CERTIFICATE_NAMESPACE",
        "deis-certificates",
        help="namespace of the applications' certificates, on Kubernetes",
    )
    health_http: Address | None = env(
        "DEIS_ROUTER_HEALTH", None, help="where the router's own /healthz answers; empty: nowhere"
    )
    git: Address | None = env(
        "DEIS_ROUTER_GIT",
        None,
        help="where git connections come in, for Service deis-builder on Kubernetes; empty: nowhere",
    )
    public_http: int = env(
        "DEIS_ROUTER_PUBLIC_HTTP", 0, help="the port that the world sees, where it is another one"
    )
    public_https: int = env("DEIS_ROUTER_PUBLIC_HTTPS", 0, help="the same of the TLS listener")
    access_log: str = env(
        "DEIS_ROUTER_ACCESS_LOG",
        STDERR,
        parse=log_path,
        help="file for a line per request, on Kubernetes; empty: none",
    )
    linger_seconds: int = env(
        "DEIS_ROUTER_LINGER_SECONDS",
        900,
        parse=count,
        help="how long connections outlive a change of nginx' configuration, on Kubernetes",
    )
    shutdown_seconds: int = env(
        "DEIS_ROUTER_SHUTDOWN_SECONDS",
        5,
        parse=count,
        help="how long an ending router finishes what it has begun",
    )
