"""One platform as a value: addresses and paths, and the environment of each service."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deis_platform.embedded.ports import free_port
from deis_services.platform_cli.options import Options
from deis_services.platform_cli.services import SERVICES
from deis_services.platform_cli.slices import port_slice


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything the services are told, but for the servers' URLs."""

    data: Path
    host: str
    http_port: int
    https_port: int
    ssh_port: int
    gateway_port: int
    artifacts_port: int
    domain: str
    runtime_ports: str

    @property
    def api_url(self) -> str:
        """What clients type."""
        return f"http://deis.{self.domain}:{self.http_port}"

    @property
    def git_url(self) -> str:
        """Where remotes point."""
        return f"ssh://git@{self.domain}:{self.ssh_port}"


@contextmanager
def make(options: Options, data: Path) -> Iterator[Plan]:
    """Ports that were left open are chosen now; those of instances are ours until the block ends."""
    http_port = options.port or free_port(options.host)
    with contextlib.ExitStack() as stack:
        ports = options.runtime_ports or stack.enter_context(port_slice(http_port))
        yield _plan(options, data, http_port, ports)


def _plan(options: Options, data: Path, http_port: int, runtime_ports: str) -> Plan:
    return Plan(
        data=data,
        host=options.host,
        http_port=http_port,
        https_port=options.https_port or free_port(options.host),
        ssh_port=options.ssh_port or free_port(options.host),
        gateway_port=free_port(),
        artifacts_port=free_port(),
        domain=options.domain or "localhost",
        runtime_ports=runtime_ports,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Where NATS, PostgreSQL and the object store are, and which file holds whose password."""

    nats_url: str
    nats_passwords: Mapping[str, Path]
    """By user; empty with an outside NATS whose URL holds credentials."""
    database_url: str
    database_password_file: str
    objects_url: str


def environments(
    plan: Plan, servers: Servers, options: Options, environ: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """The environment of every service, by name: ours on top of what `up` was started with."""
    shared = {
        **environ,
        "DEIS_NATS_URL": servers.nats_url,
        "DEIS_DOMAIN": options.domain,
        "DEIS_SECRET_FILE": str(plan.data / "secrets" / "master.key"),
        "DEIS_OBJECTS_URL": servers.objects_url,
        "DEIS_HEALTH_ADDRESS": "127.0.0.1:0",
        "DEIS_LOG_LEVEL": options.log_level,
        "DEIS_ARTIFACTS_URL": f"http://127.0.0.1:{plan.artifacts_port}",
    }
    shared.pop("DEIS_NATS_USER", None)
    shared.pop("DEIS_NATS_PASSWORD_FILE", None)
    for name in ("DEIS_DATABASE_URL", "DEIS_DATABASE_PASSWORD_FILE"):
        shared.pop(name, None)  # only the controller owns the database
    return {
        name: shared | _rights(name, servers) | _of_service(name, plan, servers, options)
        for name in SERVICES
    }


def database_environment(servers: Servers) -> dict[str, str]:
    """For who may speak to PostgreSQL."""
    return {
        "DEIS_DATABASE_URL": servers.database_url,
        "DEIS_DATABASE_PASSWORD_FILE": servers.database_password_file,
    }


def objects_environment(servers: Servers, environ: Mapping[str, str]) -> dict[str, str]:
    """For who looks at the object store from another folder, with another environment."""
    told = {"DEIS_OBJECTS_URL": servers.objects_url}
    for name, value in environ.items():
        if name.startswith("DEIS_S3_") and value:
            told[name] = os.path.abspath(value) if name.endswith("_FILE") else value
    return told


def _rights(name: str, servers: Servers) -> dict[str, str]:
    password = servers.nats_passwords.get(name)
    if password is None:
        return {}
    return {"DEIS_NATS_USER": name, "DEIS_NATS_PASSWORD_FILE": str(password)}


def _of_service(name: str, plan: Plan, servers: Servers, options: Options) -> dict[str, str]:
    gateway = f"127.0.0.1:{plan.gateway_port}"
    match name:
        case "controller":
            return {
                **database_environment(servers),
                "DEIS_API_URL": plan.api_url,
                "DEIS_GIT_URL": plan.git_url,
            }
        case "gateway":
            return {
                "DEIS_GATEWAY_ADDRESS": gateway,
                "DEIS_ARTIFACTS_ADDRESS": f"127.0.0.1:{plan.artifacts_port}",
            }
        case "builder":
            return {
                "DEIS_BUILDER_ADDRESS": f"{plan.host}:{plan.ssh_port}",
                "DEIS_BUILDER_FOLDER": str(plan.data / "builder"),
            }
        case "runtime":
            return {
                "DEIS_RUNTIME_FOLDER": str(plan.data / "runtime"),
                "DEIS_RUNTIME_PORTS": plan.runtime_ports,
            }
        case "router":
            return {
                "DEIS_ROUTER_HTTP": f"{plan.host}:{plan.http_port}",
                "DEIS_ROUTER_HTTPS": f"{plan.host}:{plan.https_port}",
                "DEIS_ROUTER_FOLDER": str(plan.data / "router"),
                "DEIS_ROUTER_PORTS": plan.runtime_ports,
                "DEIS_ROUTER_API": gateway,
                "DEIS_ROUTER_CERTIFICATE": options.certificate
                or str(plan.data / "certificates" / "platform.crt"),
                "DEIS_ROUTER_KEY": options.key or str(plan.data / "certificates" / "platform.key"),
                "DEIS_NGINX": options.nginx,
            }
        case _:
            return {}


def own_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What `up` itself was started with, as far as services get it."""
    return {
        name: value
        for name, value in environ.items()
        if name not in ("DEIS_KEEPER", "DEIS_DATA", "DEIS_PORT")
    } | {"PYTHONSAFEPATH": "1", "PATH": environ.get("PATH", os.defpath)}
