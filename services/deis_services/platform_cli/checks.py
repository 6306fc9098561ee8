"""What `up` looks at before it starts anything: one clear line for each thing that is wrong."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from deis_platform.embedded import binaries
from deis_platform.embedded.errors import ServerFailed
from deis_platform.embedded.owners import postgres_owner
from deis_platform.embedded.ports import check_free
from deis_platform.groups import ObjectsSettings
from deis_platform.objects import check_settings
from deis_platform.settings import SettingsError, load
from deis_services.platform_cli import folder
from deis_services.platform_cli.options import Options, closed_to_others

TOOLS = {"git": "git", "ssh-keygen": "openssh-client"}


def problems(options: Options, data: Path) -> list[str]:
    """Everything that speaks against a start; changes nothing."""
    return [
        *missing_tools(),
        *_interpreter(options),
        *_servers(options),
        *folder.problems(data),
        # Whoever uses the folder has the ports as well, which would only repeat it.
        *(() if folder.in_use(data) else _ports(options)),
    ]


def objects(environ: Mapping[str, str]) -> Iterator[str]:
    """What speaks against the object store of the environment; its server is not asked."""
    if environ.get("DEIS_OBJECTS_URL"):
        try:
            check_settings(load(ObjectsSettings, environ))
        except (SettingsError, ValueError) as fault:
            yield str(fault)


def missing_tools() -> Iterator[str]:
    """Programs of the machine that the platform calls."""
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            yield f"{tool} not found: install it (Debian: apt-get install {package})"


def _interpreter(options: Options) -> Iterator[str]:
    """As root, applications and builds run as users of their own, with our interpreter."""
    if os.geteuid() != 0 or (options.services and "runtime" not in options.services):
        return
    python = Path(sys.executable).resolve()
    closed = closed_to_others(python)
    if closed is not None:
        yield (
            f"Python {python} lies below {closed}, which only its owner may enter, and as root"
            " applications run as users of their own: install with another one, such as"
            " PYTHON=/usr/bin/python3"
        )


def _servers(options: Options) -> Iterator[str]:
    for needed, look in _lookups(options):
        if needed:
            try:
                look()
            except ServerFailed as fault:
                yield str(fault)
    if bool(options.certificate) != bool(options.key):
        yield "DEIS_ROUTER_CERTIFICATE and DEIS_ROUTER_KEY belong together: set both or none"
    for path in filter(None, (options.certificate, options.key)):
        if not os.access(path, os.R_OK):
            yield f"{path} cannot be read (DEIS_ROUTER_CERTIFICATE, DEIS_ROUTER_KEY)"


def _lookups(options: Options) -> list[tuple[bool, Callable[[], object]]]:
    return [
        (not options.nats_url, partial(binaries.nats_server, options.nats_server)),
        (not options.database_url, partial(binaries.postgres, options.postgres_bin)),
        (not options.database_url, partial(postgres_owner, options.postgres_user)),
        (True, partial(binaries.nginx, options.nginx)),
    ]


def _ports(options: Options) -> Iterator[str]:
    taken: dict[int, str] = {}
    wanted = {
        "--port or DEIS_PORT": options.port,
        "--https-port or DEIS_HTTPS_PORT": options.https_port,
        "--ssh-port or DEIS_SSH_PORT": options.ssh_port,
    }
    for setting, port in wanted.items():
        if not 0 <= port <= 65535:
            yield f"{port} is not a port: {setting}"
        elif port in taken:
            yield f"port {port} is wanted twice: {setting} and {taken[port]}"
        elif port:
            taken[port] = setting
            try:
                check_free(options.host, port, setting)
            except ServerFailed as fault:
                yield str(fault)
