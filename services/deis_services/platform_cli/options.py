"""What `deis-platform up` is told: by its options, else by the environment, else the defaults."""

import os
from dataclasses import dataclass
from pathlib import Path

from deis_platform.groups import LEVELS, one_of
from deis_platform.settings import env

ROOTS_FOLDER = Path("/var/lib/deis-workflow")
USERS_FOLDER = Path(".data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One platform on this machine."""

    data: str = env("DEIS_DATA", "", help="data folder")
    host: str = env("DEIS_HOST", "127.0.0.1", help="address that the three ports listen on")
    port: int = env("DEIS_PORT", 8000, help="HTTP: API and applications; 0: any free port")
    https_port: int = env("DEIS_HTTPS_PORT", 8443, help="the same over TLS; 0: any free port")
    ssh_port: int = env("DEIS_SSH_PORT", 2222, help="git over SSH; 0: any free port")
    processes: bool = env("DEIS_PROCESSES", False, help="each service as its own process")
    domain: str = env("DEIS_DOMAIN", "localhost", help="domain of the platform")
    log_level: str = env(
        "DEIS_LOG_LEVEL", "info", parse=one_of(*LEVELS), help="what goes into the log"
    )
    nats_url: str = env("DEIS_NATS_URL", "", help="an outside NATS in place of our own")
    operator_password_file: str = env(
        "DEIS_OPERATOR_PASSWORD_FILE",
        "",
        help="an outside NATS: password of user platform, for the operator's commands",
    )
    automations_secret: str = env(
        "DEIS_AUTOMATIONS_SECRET", "", help="on Kubernetes: the Secret that automations are kept in"
    )
    nats_pods: str = env(
        "DEIS_NATS_PODS",
        "",
        help="on Kubernetes: label of the pods of our own NATS; empty: it is somebody else's",
    )
    nats_server: str = env("DEIS_NATS_SERVER", "", help="nats-server to run")
    database_url: str = env("DEIS_DATABASE_URL", "", help="an outside PostgreSQL")
    database_password_file: str = env("DEIS_DATABASE_PASSWORD_FILE", "", help="its password")
    postgres_bin: str = env("DEIS_POSTGRES_BIN", "", help="folder of PostgreSQL's programs")
    postgres_user: str = env("DEIS_POSTGRES_USER", "", help="as root: who runs PostgreSQL")
    nginx: str = env("DEIS_NGINX", "", help="nginx to run")
    objects_url: str = env("DEIS_OBJECTS_URL", "", help="an outside object store")
    runtime_ports: str = env("DEIS_RUNTIME_PORTS", "", help="ports of instances, FIRST-LAST")
    services: tuple[str, ...] = env("DEIS_SERVICES", (), help="only these; empty: all")
    certificate: str = env("DEIS_ROUTER_CERTIFICATE", "", help="platform certificate, PEM")
    key: str = env("DEIS_ROUTER_KEY", "", help="its key")


def data_folder(chosen: str) -> Path:
    """The data folder, absolute: the chosen one, else `.data` here.

    As root the servers and applications run as other users. Where those cannot reach `.data`
    (a clone in root's home), it is /var/lib/deis-workflow.
    """
    if chosen:
        return Path(os.path.abspath(chosen))
    here = Path(os.path.abspath(USERS_FOLDER))
    if os.geteuid() == 0 and not here.exists() and closed_to_others(here) is not None:
        return ROOTS_FOLDER
    return here


def closed_to_others(path: Path) -> Path | None:
    """The first folder above `path` that only its owner (or group) may pass through."""
    for folder in reversed(path.parents):
        if folder.exists() and not folder.stat().st_mode & 0o001:
            return folder
    return None
