"""What the doctor found out, as values."""

import msgspec

from deis_bus.contracts.components import ComponentState
from deis_bus.letters import Letter
from deis_bus.ports import Component


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """A port that somebody else has."""

    port: int
    host: str
    option: str
    """How another is chosen, e.g. `--port`."""
    holder: str = ""
    """Program and process, as far as this user may see it."""


class RouterService(msgspec.Struct, frozen=True, kw_only=True):
    """The Service `deis-router` on Kubernetes."""

    kind: str
    """Its type: LoadBalancer, NodePort or ClusterIP."""
    addresses: tuple[str, ...] = ()
    """Of a LoadBalancer, once somebody has given it some."""
    release: str = ""
    """Of Helm, that it belongs to."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out; None where it could not be."""

    data: str
    version: str
    """Of the installed program."""
    local: bool = True
    """Whether a platform of this machine is looked at, not only outside servers."""
    namespace: str = ""
    """Of the platform on Kubernetes; empty on one machine."""
    running: bool = False
    starting: bool = False
    """The data folder is in use, but the platform has not said that it answers."""
    pid: int = 0
    missing_tools: tuple[tuple[str, str], ...] = ()
    """Program and the package that brings it."""
    free_bytes: int | None = None
    min_free_bytes: int = 0
    taken: tuple[Port, ...] = ()
    nats: str | None = None
    """Why NATS does not answer; empty when it does."""
    nats_url: str = ""
    database: str | None = None
    """The same for PostgreSQL."""
    objects: str | None = None
    """The same for a bucket; None also where objects are files."""
    objects_url: str = ""
    objects_server: str = ""
    """Where the bucket is asked for."""
    outside: tuple[str, ...] = ()
    """Which of `nats` and `postgres` are not the platform's own: their logs lie elsewhere."""
    database_url: str = ""
    pending: tuple[str, ...] = ()
    """Migrations that were not applied."""
    schema: str = ""
    """Why schema and program do not go together."""
    components: tuple[Component, ...] = ()
    expected: tuple[str, ...] = ()
    dead: tuple[Letter, ...] = ()
    manager: str | None = None
    """Why the manager does not say what is installed; None where it was not asked."""
    installed: tuple[ComponentState, ...] = ()
    """What it says."""
    api_server: str | None = None
    """Why the API server of Kubernetes does not answer us; None on one machine."""
    router: RouterService | None = None
    """None where it could not be asked for, or is not there."""
