"""The router's parts, put together: what works without the bus, and what needs it."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog

from deis_bus.ports import Bus
from deis_platform.embedded.keeper import Keeper
from deis_platform.runner import Part
from deis_services.router.certs import CertificateFolder
from deis_services.router.follow import CertificateFetcher, Follower, Reporter
from deis_services.router.live import LiveTable
from deis_services.router.model import RouteTable
from deis_services.router.names import name_server
from deis_services.router.nginx import Nginx
from deis_services.router.pools import PodPool, Pool, PortPool
from deis_services.router.render import Layout
from deis_services.router.saved import Journal
from deis_services.router.server import Server

if TYPE_CHECKING:
    from deis_platform.kubernetes import Kubernetes

log = structlog.get_logger(__name__)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how one router runs."""

    binary: Path
    folder: Path
    layout: Layout
    domain: str
    certificate: str = ""
    key: str = ""
    cluster: bool = False
    """Instances are pods, not ports of this machine."""


class Router:
    """One router: its table, its nginx, and the parts that tie them to a source of routes."""

    def __init__(
        self, plan: Plan, keeper: Keeper, live: LiveTable, certs: CertificateFolder
    ) -> None:
        self.id = _identity(plan.folder / "router.id")
        self.live = live
        self.present = asyncio.Event()
        """Set once the source's present was read whole."""
        nginx = Nginx(plan.binary, plan.folder, plan.layout, keeper)
        self.server = Server(nginx, live, self.present)
        self.certificates = certs

    def bus_parts(self, bus: Bus) -> tuple[Follower, Reporter, CertificateFetcher]:
        """The parts for routes from the bus; `server` is the one that does not need it."""
        return (
            Follower(bus, self.live, self.present),
            Reporter(bus, self.live, self.id, (self.present, self.server.serving)),
            CertificateFetcher(bus, self.live, self.certificates),
        )

    def cluster_parts(self, api: "Kubernetes", certificates: str) -> tuple[Part, ...]:
        """The parts for routes from the objects of a cluster; `certificates` is the namespace of
        the applications' certificates."""
        from deis_services.router.cluster import Cluster  # an HTTP client, of no use on a laptop

        cluster = Cluster(api, self.live, self.certificates, self.present, certificates)
        return cluster.parts()


@asynccontextmanager
async def router(plan: Plan) -> AsyncIterator[Router]:
    """A router with its last good table, not yet running. Raises BadPair for platform's pair.

    Whatever an earlier router of this folder left running is ended first.
    """
    folder = plan.folder
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    # As root the workers are another user: they pass through, only `admin` and the files are closed.
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    async with AsyncExitStack() as stack:
        keeper = await stack.enter_async_context(Keeper(folder, "router"))
        journal = Journal(folder / "table.jsonl")
        certificates = CertificateFolder(folder / "certificates")
        pem = certificates.platform(plan.certificate, plan.key, plan.domain)
        pool: Pool = PortPool(plan.layout.ports)
        if plan.cluster:
            pool = pods = PodPool()
            names = await stack.enter_async_context(name_server(pods))
            layout = msgspec.structs.replace(plan.layout, names=names)
            plan = msgspec.structs.replace(plan, layout=layout)
        table = RouteTable(plan.domain, pool, cluster=plan.cluster)
        live = LiveTable(table, journal, certificates, pem)
        stack.callback(live.close)
        live.restore()
        yield Router(plan, keeper, live, certificates)


def _identity(path: Path) -> str:
    """The same over restarts: nobody waits for a router that was only started anew."""
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        identity = f"router-{uuid.uuid4().hex[:12]}"
        path.write_text(identity, encoding="ascii")
        return identity
