"""What the router keeps of its table when the bucket is told again, on the memory bus."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from deis_bus.contracts.certificates import CERTIFICATE_READ, CertificatePair, CertificateRead
from deis_bus.memory import MemoryBroker, MemoryBus
from deis_bus.ports import ServiceInfo
from deis_bus.routes import AppRoute
from deis_bus.rpc import Context, endpoints
from deis_bus.streams import ROUTES
from deis_services.router import follow as module
from deis_services.router.certs import CertificateFolder, self_signed
from deis_services.router.follow import CertificateFetcher, Follower
from deis_services.router.live import LiveTable
from deis_services.router.model import RouteTable
from deis_services.router.pools import PortPool
from deis_services.router.saved import Journal
from tests.behaviour.bus import until

MARK = "-----BEGIN PRIVATE KEY-----"


@pytest.fixture
async def bus() -> MemoryBus:
    return MemoryBroker().bus("router")


@pytest.fixture
def certificates(tmp_path: Path) -> CertificateFolder:
    return CertificateFolder(tmp_path / "certificates")


@pytest.fixture
async def live(tmp_path: Path, certificates: CertificateFolder) -> AsyncIterator[LiveTable]:
    table = RouteTable("example.com", PortPool(range(20000, 20100)))
    held = LiveTable(table, Journal(tmp_path / "table.jsonl"), certificates, "")
    held.restore()
    yield held
    held.close()


@contextlib.asynccontextmanager
async def running(part: Follower | CertificateFetcher) -> AsyncIterator[None]:
    """The part, until the end of the context."""
    stop = asyncio.Event()
    task = asyncio.create_task(part.run(stop))
    yield
    stop.set()
    await task


async def put(bus: MemoryBus, app: str, certificate: str = "") -> None:
    """An application's entry."""
    route = AppRoute(app=app, appuuid="1", hosts=(app,), certificates={app: certificate})
    await bus.keys(ROUTES).put(f"app.{app}", msgspec.json.encode(route))


async def test_what_one_present_lacked_stays_when_the_next_holds_it(
    bus: MemoryBus, live: LiveTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.2)
    follower = Follower(bus, live, asyncio.Event())
    both = {"app.a", "app.b"}
    await put(bus, "a")
    await put(bus, "b")
    async with running(follower):
        await until(lambda: live.table.keys() == both)
    await bus.keys(ROUTES).delete("app.b")
    async with running(follower):  # lacks b, which may be written again
        await until(lambda: follower._grace is not None)
    await put(bus, "b")
    over = asyncio.Event()
    async with running(follower):
        # Timers end in their order: the first present's grace is over, too.
        asyncio.get_running_loop().call_later(0.2, over.set)
        await over.wait()
        assert live.table.keys() == both


async def test_a_certificate_that_the_disk_does_not_take_costs_only_its_host(
    bus: MemoryBus, live: LiveTable, certificates: CertificateFolder, tmp_path: Path
) -> None:
    async def read(_: CertificateRead, __: Context) -> CertificatePair:
        certificate, _mark, key = self_signed("x.org").partition(MARK)
        return CertificatePair(certificate, MARK + key)

    def unexpected(subject: str, fault: Exception) -> None:
        raise AssertionError(subject) from fault

    (tmp_path / "certificates" / "trial.new").mkdir()  # in the way of what is written
    info = ServiceInfo(name="controller", version="1.0.0")
    fetcher = CertificateFetcher(bus, live, certificates)
    async with (
        bus.serve(info, endpoints({CERTIFICATE_READ: read}, unexpected)),
        running(Follower(bus, live, asyncio.Event())),
        running(fetcher),
    ):
        await put(bus, "a", "f1")
        await until(lambda: "f1" in fetcher._retry_at)
        (tmp_path / "certificates" / "trial.new").rmdir()
        await put(bus, "b", "f2")
        await until(lambda: certificates.get("f2") is not None)
    assert certificates.get("f1") is None
