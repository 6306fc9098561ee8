"""An API server on a free port that answers what a test tells it to, and remembers what it was
asked. It knows HTTP and nothing of Kubernetes: for faults that a real one does not give on demand.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from deis_platform.groups import KubernetesSettings
from deis_platform.kubernetes import Kubernetes
from deis_platform.kubernetes.access import Access
from deis_platform.kubernetes.tokens import Token, fixed
from deis_platform.kubernetes.transport import open_transport

Step = Callable[[web.Request], Awaitable[web.StreamResponse]]

READY = "/readyz"
PATIENCE = 20.0
"""Seconds after which a test that waits in vain has failed."""


class Asked(NamedTuple):
    """A request, once its body was read."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any

    @property
    def token(self) -> str:
        """The bearer token it showed."""
        return self.headers.get("Authorization", "").removeprefix("Bearer ")


class Fake:
    """Requests take the next step whose path they end with; without one they hang. `/readyz` is
    answered with `ready` and not remembered, unless a step is for it alone."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.url = ""
        self.ready = 200
        self.open = 0
        """Requests that are being answered."""
        self._steps: list[tuple[str, Step]] = []
        self._changed = asyncio.Condition()
        self._closing = asyncio.Event()

    def will(self, *steps: Step, path: str = "") -> None:
        """The next answers, in order; `path` is the end of the paths they are for."""
        self._steps += [(path, step) for step in steps]

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until it holds; looked at when a request begins or ends."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(true)

    async def until_asked(self, count: int) -> None:
        """Wait for that many requests, all told."""
        await self.until(lambda: len(self.asked) >= count)

    async def hang(self, _: web.Request) -> web.StreamResponse:
        """No answer until the server ends."""
        await self._closing.wait()
        return web.Response(status=503)

    def close(self) -> None:
        """Let what hangs end."""
        self._closing.set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Every request there is."""
        if request.path == READY and READY not in {path for path, _ in self._steps}:
            return web.Response(status=self.ready)
        body = await request.read()
        headers, decoded = dict(request.headers), msgspec.json.decode(body) if body else None
        self.asked.append(
            Asked(request.method, request.path, dict(request.query), headers, decoded)
        )
        self.open += 1
        try:
            async with self._changed:
                self._changed.notify_all()
            return await self._next(request.path)(request)
        finally:
            self.open -= 1
            async with self._changed:
                self._changed.notify_all()

    def _next(self, path: str) -> Step:
        for place, (ending, step) in enumerate(self._steps):
            if path.endswith(ending):
                del self._steps[place]
                return step
        return self.hang


@asynccontextmanager
async def fake_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[Fake]:
    """One that ends with the block."""
    fake = Fake()
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        scheme = "https" if tls else "http"
        fake.url = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
        yield fake
    finally:
        fake.close()
        await runner.cleanup()


@asynccontextmanager
async def door(fake: Fake, token: Token | None = None) -> AsyncIterator[Kubernetes]:
    """Our client of it."""
    way = Access(fake.url, None, token or fixed("secret-token"))
    async with open_transport(way) as transport:
        yield Kubernetes(transport, KubernetesSettings().namespace)


def answer(body: object, status: int = 200, **headers: str) -> Step:
    """JSON; an underscore in a header's name stands for a dash."""

    async def step(_: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response(
            msgspec.json.decode(msgspec.json.encode(body)), status=status, headers=named
        )

    return step


def refusal(status: int, reason: str = "", message: str = "no", **headers: str) -> Step:
    """A Status, as the API server words its refusals."""
    return answer(told(status, reason, message), status, **headers)


def told(status: int, reason: str = "", message: str = "no") -> dict[str, Any]:
    """A Status object."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": status,
    }


def listing(*items: object, version: int = 1, more: str = "") -> Step:
    """A page of a list."""
    meta = {"resourceVersion": str(version)} | ({"continue": more} if more else {})
    return answer({"kind": "List", "apiVersion": "v1", "metadata": meta, "items": list(items)})


def lines(*events: object, then: Step | None = None, rest: bytes = b"") -> Step:
    """A watch: these events and the bytes `rest`, then its end, or what `then` does."""

    async def step(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for event in events:
            await response.write(msgspec.json.encode(event) + b"\n")
        if rest:
            await response.write(rest)
        if then is not None:
            await then(request)
        return response

    return step


async def cut(request: web.Request) -> web.StreamResponse:
    """The connection ends in the middle."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def obj(name: str, version: int, namespace: str = "blog", **more: Any) -> dict[str, Any]:
    """A ConfigMap of that version."""
    meta = {"name": name, "namespace": namespace, "resourceVersion": str(version), "uid": name}
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": meta} | more


def event(kind: str, thing: object) -> dict[str, Any]:
    """A line of a watch."""
    return {"type": kind, "object": thing}


def bookmark(version: int) -> dict[str, Any]:
    """As a real one: no name, and null where a list must not be missing."""
    meta = {"resourceVersion": str(version), "creationTimestamp": None}
    return event("BOOKMARK", {"kind": "ConfigMap", "metadata": meta, "spec": {"parts": None}})
