"""A real router with real instances behind it, for tests and benchmarks."""

import asyncio
import contextlib
import functools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec
from aiohttp import web

from deis_bus.ports import Entry
from deis_bus.routes import AppRoute, Upstreams, app_key, upstreams_key
from deis_platform.embedded import binaries
from deis_platform.embedded.ports import claim, free_port
from deis_services.router.nginx import open_files, worker_user
from deis_services.router.parts import Plan, Router, router
from deis_services.router.policy import Structure
from deis_services.router.render import Layout

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
POOL = 300
GIVE_UP_SECONDS = 20.0


@functools.cache
def pool() -> range:
    """Ports for instances, below those that the system hands out; this process's own."""
    starts = list(range(10_500, 19_000, POOL))
    random.shuffle(starts)
    for start in starts:
        if held := claim(f"router-rig-{start}"):
            held.detach()  # held until this process ends
            return range(start, start + POOL)
    raise RuntimeError("every pool of ports is taken")


class Instance:
    """An instance of an application: answers with its name and what it was asked."""

    def __init__(
        self, name: str, port: int, handler: Handler | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.name = name
        self.host = host
        self.port = port
        self.connections = 0
        self._handler = handler or self._echo
        self._runner = web.ServerRunner(
            web.Server(self._handle, keepalive_timeout=30), shutdown_timeout=0.1
        )
        self._peers: set[Any] = set()

    @property
    def address(self) -> str:
        """As it stands in Upstreams."""
        return f"{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        peer = request.transport
        if peer not in self._peers:
            self._peers.add(peer)
            self.connections += 1
        return await self._handler(request)  # type: ignore[arg-type]

    async def _echo(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        return web.json_response(
            {
                "name": self.name,
                "method": request.method,
                "path": request.raw_path if hasattr(request, "raw_path") else request.path_qs,
                "headers": dict(request.headers),
                "length": len(body),
            }
        )


class Rig:
    """A running router whose table is written directly, and a client."""

    def __init__(self, live: Router, plan: Plan, session: aiohttp.ClientSession) -> None:
        self.router = live
        self.plan = plan
        self.session = session
        self.revision = 0

    @property
    def base(self) -> str:
        """Base URL of the plain listener."""
        return f"http://{self.plan.layout.http}"

    @property
    def base_layout(self) -> Layout:
        """The layout from the environment, the name server's address included."""
        names = self.router.server.nginx.layout.names
        return msgspec.structs.replace(self.plan.layout, names=names)

    @property
    def ports(self) -> range:
        """Ports for instances."""
        return self.plan.layout.ports

    async def put(self, *values: AppRoute | Upstreams) -> int:
        """Take entries in, as a watch tells them, and wait until they are in force."""
        for value in values:
            key = app_key if isinstance(value, AppRoute) else upstreams_key
            self.tell(key(value.app), msgspec.json.encode(value))
        await self.applied(self.revision)
        return self.revision

    def tell(self, key: str, data: bytes | None) -> None:
        """One entry, without waiting."""
        self.revision += 1
        self.router.live.take(Entry(key, data, self.revision))

    async def applied(self, revision: int) -> None:
        """Wait until this revision is in force."""
        live = self.router.live
        async with asyncio.timeout(GIVE_UP_SECONDS):
            while live.applied < revision:
                await live.moved.wait()
                live.moved.clear()

    async def serve(self, app: str, *instances: Instance, **policy: Any) -> None:
        """Route `app` to these instances."""
        await self.put(route(app, **policy), upstreams(app, *instances))

    def request(
        self, host: str, path: str = "/", method: str = "GET", **options: Any
    ) -> "aiohttp.client._RequestContextManager":
        """A request at the plain listener."""
        headers = {"Host": host} | options.pop("headers", {})
        return self.session.request(
            method, self.base + path, headers=headers, allow_redirects=False, **options
        )

    async def get(self, host: str, path: str = "/", **options: Any) -> tuple[int, Any]:
        """Status and body (JSON where it is)."""
        async with self.request(host, path, **options) as answer:
            text = await answer.text()
            is_json = answer.content_type == "application/json"
            return answer.status, msgspec.json.decode(text) if is_json else text

    def workers(self) -> list[int]:
        """Process ids of nginx' workers."""
        return children(self.master())

    def master(self) -> int:
        """Process id of nginx' master."""
        return int((self.plan.folder / "nginx.pid").read_text())


def route(app: str, **policy: Any) -> AppRoute:
    """An AppRoute with its application's own name as host unless told otherwise."""
    return AppRoute(app=app, appuuid=f"{app}-1", **({"hosts": (app,)} | policy))


def upstreams(app: str, *instances: Instance) -> Upstreams:
    """The instances of an application."""
    addresses = tuple(instance.address for instance in instances)
    return Upstreams(app=app, appuuid=f"{app}-1", generation=1, addresses=addresses)


def children(pid: int) -> list[int]:
    """Child processes."""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(word) for word in text.split()]
    return []


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something holds; TimeoutError when it never does."""
    async with asyncio.timeout(GIVE_UP_SECONDS):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


def plan(folder: Path, **layout: Any) -> Plan:
    """A router on free ports, domain `localhost`."""
    options: dict[str, Any] = {
        "http": f"127.0.0.1:{free_port()}",
        "https": f"127.0.0.1:{free_port()}",
        "api": f"127.0.0.1:{free_port()}",
        "ports": pool(),
        "user": worker_user(),
        "files": min(open_files(), 4096),
        "shutdown_seconds": 1,
    }
    return Plan(
        binary=binaries.nginx(),
        folder=folder,
        domain="localhost",
        layout=Layout(**(options | layout)),
    )


def pods_plan(folder: Path, **layout: Any) -> Plan:
    """A router whose instances are at any address, as on Kubernetes."""
    options: dict[str, Any] = {
        "api": "",
        "ports": range(0),
        "health": f"127.0.0.1:{free_port()}",
        "structure": Structure(),
        "linger_seconds": 60,
    }
    return msgspec.structs.replace(plan(folder, **(options | layout)), cluster=True)


@asynccontextmanager
async def running(planned: Plan, *, present: bool = True) -> AsyncIterator[Rig]:
    """The router's nginx and table, without a bus."""
    stop = asyncio.Event()
    async with router(planned) as live, aiohttp.ClientSession() as session:
        if present:
            live.present.set()
        serving = asyncio.create_task(live.server.run(stop))
        try:
            await asyncio.wait_for(live.server.serving.wait(), GIVE_UP_SECONDS)
            rig = Rig(live, planned, session)
            # The worker of the closed start ends.
            await eventually(lambda: len(rig.workers()) == planned.layout.workers)
            yield rig
        finally:
            stop.set()
            await serving
