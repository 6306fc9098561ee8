"""The router as a service on a real bus: routes, certificates, and the switch-over handshake."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from deis_bus import rpc
from deis_bus.contracts.certificates import CERTIFICATE_READ, CertificatePair, CertificateRead
from deis_bus.errors import Refused, Transient
from deis_bus.jetstream import connect
from deis_bus.ports import Bus, ServiceInfo
from deis_bus.routes import Applied, AppRoute, Upstreams, app_key, upstreams_key
from deis_bus.streams import BUCKETS, ROUTERS, ROUTES
from deis_platform.embedded.ports import free_port
from deis_platform.retry import delays
from deis_platform.settings import load
from deis_services.router.certs import self_signed
from deis_services.router.service import serve
from deis_services.router.settings import Settings
from integration.router_rig import Instance, pool, route, upstreams
from integration.servers import RunningNats, nats_server, until

pytestmark = pytest.mark.server
MARK = "-----BEGIN PRIVATE KEY-----"


class Platform:
    """A bus, the addresses of a router, and a client."""

    def __init__(self, folder: Path, nats: RunningNats, bus: Bus) -> None:
        self.nats = nats
        self.bus = bus
        self.http = f"127.0.0.1:{free_port()}"
        self.settings = load(
            Settings,
            {
                "DEIS_NATS_URL": nats.url,
                "DEIS_ROUTER_FOLDER": str(folder / "router"),
                "DEIS_ROUTER_HTTP": self.http,
                "DEIS_ROUTER_PORTS": f"{pool().start}-{pool().stop - 1}",
                "DEIS_ROUTER_API": f"127.0.0.1:{free_port()}",
            },
        )

    async def put(self, value: AppRoute | Upstreams) -> int:
        """Write an entry as controller and runtime do; gives its revision."""
        key = app_key if isinstance(value, AppRoute) else upstreams_key
        for pause in delays():
            with contextlib.suppress(Transient):
                return await self.bus.keys(ROUTES).put(key(value.app), msgspec.json.encode(value))
            await asyncio.sleep(pause)
        raise ValueError("pauses ended")

    async def reports(self) -> list[Applied]:
        """What live routers tell."""
        entries = await self.bus.keys(ROUTERS).entries()
        return [msgspec.json.decode(e.data, type=Applied) for e in entries if e.data is not None]

    async def in_force(self, revision: int) -> None:
        """Wait until a router reports this revision, as the runtime does."""

        async def reported() -> bool:
            try:
                reports = await self.reports()
            except Transient:
                return False
            return bool(reports) and all(report.revision >= revision for report in reports)

        await until(reported, f"revision {revision} in force")

    async def get(self, host: str) -> tuple[int, Any]:
        """Status and JSON; status 0 while nothing listens or what did is just closing."""
        with contextlib.suppress(aiohttp.ClientConnectionError):
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://{self.http}/", headers={"Host": host}) as answer,
            ):
                is_json = answer.content_type == "application/json"
                return answer.status, await answer.json() if is_json else None
        return 0, None

    @asynccontextmanager
    async def router(self) -> AsyncIterator[None]:
        """The service, until the end of the context."""
        stop = asyncio.Event()
        running = asyncio.create_task(serve(self.settings, stop))
        try:
            yield
        finally:
            stop.set()
            await running


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    """A bus with its buckets; no router yet."""
    async with nats_server(tmp_path) as nats, connect(nats.url, "controller") as bus:
        await bus.ensure((), BUCKETS)
        yield Platform(tmp_path, nats, bus)


async def test_a_reported_revision_is_in_force_and_a_stopped_router_is_not_waited_for(
    platform: Platform,
) -> None:
    ports = pool()
    async with Instance("one", ports[0]) as one, Instance("two", ports[1]) as two:
        await platform.put(route("blog"))
        first = await platform.put(upstreams("blog", one))
        async with platform.router():
            await platform.in_force(first)
            for number in range(20):
                instance = (one, two)[number % 2]
                await platform.in_force(await platform.put(upstreams("blog", instance)))
                assert (await platform.get("blog.localhost"))[1]["name"] == instance.name
            removed = await platform.bus.keys(ROUTES).delete(app_key("blog"))
            await platform.in_force(removed)
            assert (await platform.get("blog.localhost"))[0] == 404

            async def announced() -> bool:
                return "router" in [found.name for found in await platform.bus.discover()]

            await until(announced, "the router among the services")

        async def taken_back() -> bool:
            return await platform.reports() == []

        # Not only once the report's time to live is over.
        await until(taken_back, "its report is taken back", ROUTERS.ttl_seconds / 2)


async def test_without_the_bus_a_new_router_serves_the_last_good_table(
    platform: Platform,
) -> None:
    ports = pool()
    async with Instance("one", ports[0]) as one, Instance("two", ports[1]) as two:
        await platform.put(route("blog"))
        revision = await platform.put(upstreams("blog", one))
        async with platform.router():
            await platform.in_force(revision)
        nats = platform.nats.server
        nats.signal(signal.SIGSTOP)  # hung is worse than dead: nothing is refused
        try:
            async with platform.router():

                async def served() -> bool:
                    return (await platform.get("blog.localhost"))[0] == 200

                await until(served, "the last good table is served")
                nats.signal(signal.SIGCONT)
                await platform.in_force(await platform.put(upstreams("blog", two)))
                assert (await platform.get("blog.localhost"))[1]["name"] == "two"
        finally:
            nats.signal(signal.SIGCONT)


async def test_certificates_are_fetched_and_a_wrong_pair_costs_only_its_host(
    platform: Platform,
) -> None:
    asked: list[str] = []

    async def read(question: CertificateRead, context: rpc.Context) -> CertificatePair:
        asked.append(question.fingerprint)
        if question.fingerprint == "gone":
            raise Refused(404, "no such certificate")
        certificate, _, key = self_signed("shop.org").partition(MARK)
        other = self_signed("other.org").partition(MARK)[2]
        return CertificatePair(certificate, MARK + (other if "wrong" in asked[-1] else key))

    def unexpected(subject: str, fault: Exception) -> None:
        raise AssertionError(f"{subject}: {fault}")

    info = ServiceInfo(name="controller", version="1.0.0")
    folder = platform.settings.folder / "certificates"
    async with (
        platform.bus.serve(info, rpc.endpoints({CERTIFICATE_READ: read}, unexpected)),
        Instance("one", pool()[0]) as one,
        platform.router(),
    ):
        for app, fingerprint in (("a", "wrong"), ("b", "gone"), ("c", "right")):
            names = {"certificates": {f"{app}.org": fingerprint}, "hosts": (app, f"{app}.org")}
            await platform.put(route(app, **names))
        await platform.in_force(await platform.put(upstreams("a", one)))
        every = {"wrong", "gone", "right"}
        await until(lambda: {*asked} == every, "every certificate was asked for")
        await until(lambda: len(list(folder.glob("own-*.pem"))) == 1, "the right one is kept")
        assert (await platform.get("a.org"))[0] == 200
        assert (await platform.get("c.org"))[0] == 503
