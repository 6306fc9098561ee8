"""The router's parts, put together: what works without the bus, and what needs it."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import structlog

from deis_bus.ports import Bus
from deis_platform.embedded.keeper import Keeper
from deis_services.router.certs import CertificateFolder
from deis_services.router.follow import CertificateFetcher, Follower, Reporter
from deis_services.router.live import LiveTable
from deis_services.router.model import RouteTable
from deis_services.router.nginx import Nginx
from deis_services.router.pools import PortPool
from deis_services.router.render import Layout
from deis_services.router.saved import Journal
from deis_services.router.server import Server

log = structlog.get_logger(__name__)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how one router runs."""

    binary: Path
    folder: Path
    layout: Layout
    domain: str
    certificate: str = ""
    key: str = ""


class Router:
    """One router: its table, its nginx, and the parts that tie them to a bus."""

    def __init__(
        self, plan: Plan, keeper: Keeper, live: LiveTable, certs: CertificateFolder
    ) -> None:
        self.id = _identity(plan.folder / "router.id")
        self.live = live
        self.present = asyncio.Event()
        """Set once the bucket's present was read whole."""
        nginx = Nginx(plan.binary, plan.folder, plan.layout, keeper)
        self.server = Server(nginx, live, self.present)
        self._certificates = certs

    def bus_parts(self, bus: Bus) -> tuple[Follower, Reporter, CertificateFetcher]:
        """The parts that need the bus; `server` is the one that does not."""
        return (
            Follower(bus, self.live, self.present),
            Reporter(bus, self.live, self.id, (self.present, self.server.serving)),
            CertificateFetcher(bus, self.live, self._certificates),
        )


@asynccontextmanager
async def router(plan: Plan) -> AsyncIterator[Router]:
    """A router with its last good table, not yet running. Raises BadPair for platform's pair.

    Whatever an earlier router of this folder left running is ended first.
    """
    folder = plan.folder
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    # As root the workers are another user: they pass through, only `admin` and the files are closed.
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    async with Keeper(folder, "router") as keeper:
        journal = Journal(folder / "table.jsonl")
        certificates = CertificateFolder(folder / "certificates")
        pem = certificates.platform(plan.certificate, plan.key, plan.domain)
        table = RouteTable(plan.domain, PortPool(plan.layout.ports))
        live = LiveTable(table, journal, certificates, pem)
        live.restore()
        try:
            yield Router(plan, keeper, live, certificates)
        finally:
            live.close()


def _identity(path: Path) -> str:
    """The same over restarts: nobody waits for a router that was only started anew."""
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        identity = f"router-{uuid.uuid4().hex[:12]}"
        path.write_text(identity, encoding="ascii")
        return identity
