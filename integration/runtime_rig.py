"""The runtime service on a real bus, with slugs it can fetch and a router that only reports."""

import asyncio
import contextlib
import io
import tarfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from aiohttp import web

from deis_bus.contracts.runtime import Artifact
from deis_bus.errors import Transient
from deis_bus.ports import Bus
from deis_bus.routes import Applied, Upstreams
from deis_bus.streams import ROUTERS, ROUTES
from deis_platform.retry import delays
from deis_platform.runtime.port import Runtime
from deis_platform.settings import load
from deis_services.router.follow import RENEW_SECONDS
from deis_services.runtime.service import serve
from deis_services.runtime.settings import Settings
from integration.router_rig import pool
from integration.servers import until
from tests.behaviour.runtime import APP, Kind

APPS = Path(__file__).parent / "apps"
TOKEN = "of-this-app"
KINDS: Mapping[Kind, str] = {"serves": "worker", "never": "never-ready", "crashes": "crasher"}


def slug(folder: Path, extra: Mapping[str, str] | None = None) -> bytes:
    """A folder as the slugbuilder packs it, with more files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, f"./{path.name}")
        for name, text in (extra or {}).items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


class Artifacts:
    """Slugs over HTTP, for who has the token; `away` makes it answer 503."""

    def __init__(self) -> None:
        self.slugs: dict[str, bytes] = {}
        self.url = ""
        self.away = False
        self.refused = 0
        self.fetched: list[str] = []

    def add(self, name: str, packed: bytes, appuuid: str = APP.appuuid) -> Artifact:
        """Keep a slug; gives what a spec says of it."""
        key = f"slugs/{appuuid}/{name}.tgz"
        self.slugs[key] = packed
        return Artifact(slug=key, url=f"{self.url}/artifacts/{key}", token=TOKEN)

    async def get(self, request: web.Request) -> web.Response:
        """A slug."""
        if self.away:
            self.refused += 1
            return web.Response(status=503)
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.Response(status=403)
        key = request.match_info["key"]
        self.fetched.append(key)
        found = self.slugs.get(key)
        return web.Response(status=404) if found is None else web.Response(body=found)

    @asynccontextmanager
    async def serving(self, host: str = "127.0.0.1") -> AsyncIterator[None]:
        """On a free port of that address until the end of the context."""
        app = web.Application()
        app.router.add_get("/artifacts/{key:.*}", self.get)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, host, 0)
        await site.start()
        self.url = f"http://{host}:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            await runner.cleanup()


class Router:
    """Follows bucket ROUTES and reports what it has applied, or holds the report back."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.up: dict[str, Upstreams] = {}
        self.revision = 0
        self.reporting = asyncio.Event()
        self.reporting.set()

    def addresses(self, app: str = APP.app) -> tuple[str, ...]:
        """Where requests of an application go now."""
        found = self.up.get(app)
        return found.addresses if found is not None else ()

    async def run(self) -> None:
        """Until cancelled."""
        async for entry in self._bus.keys(ROUTES).watch():
            if entry is None:
                continue
            if entry.key.startswith("up."):
                app = entry.key.removeprefix("up.")
                self.up.pop(app, None)
                if entry.data is not None:
                    self.up[app] = msgspec.json.decode(entry.data, type=Upstreams)
            self.revision = max(self.revision, entry.revision)
            await self.reporting.wait()
            await self._report()

    async def renew(self) -> None:
        """Report again and again as a real router does, who else counts as dead after a while."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await self.reporting.wait()
            await self._report()

    async def _report(self) -> None:
        """As often as it takes where the bus is away meanwhile."""
        for pause in delays():
            report = msgspec.json.encode(Applied(router="test", revision=self.revision))
            try:
                await self._bus.keys(ROUTERS).put("test", report)
            except Transient:
                await asyncio.sleep(pause)
            else:
                return


@asynccontextmanager
async def following(bus: Bus) -> AsyncIterator[Router]:
    """A router until the end of the context."""
    router = Router(bus)
    tasks = [asyncio.create_task(work) for work in (router.run(), router.renew())]
    try:
        yield router
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task


def settings(url: str, folder: Path, **more: str) -> Settings:
    """The runtime's settings for a test."""
    ports = pool()
    return load(
        Settings,
        {
            "DEIS_NATS_URL": url,
            "DEIS_RUNTIME_FOLDER": str(folder / "runtime"),
            "DEIS_RUNTIME_PORTS": f"{ports.start}-{ports.stop - 1}",
        }
        | more,
    )


@asynccontextmanager
async def service(given: Settings) -> AsyncIterator[None]:
    """The runtime service until the end of the context."""
    stop = asyncio.Event()
    running = asyncio.create_task(serve(given, stop))
    try:
        yield
    finally:
        stop.set()
        await running


async def answering(runtime: Runtime) -> None:
    """Wait until the service answers."""

    async def answers() -> bool:
        try:
            await runtime.held()
        except Transient:
            return False
        return True

    await until(answers, "an answer of the runtime")
