"""A registry in this process that also answers what no real one does on demand.

It passes the same suite as Debian's docker-registry (integration/kubernetes/test_registry.py).
"""

import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiohttp import web

from tests.behaviour.registry import Made

Step = Callable[[web.Request], Awaitable[web.StreamResponse]]
TOKEN = "token-of-the-service"
LOGIN = {"username": "ada", "password": "hunter2"}
SECRETS = ("hunter2", TOKEN, base64.b64encode(b"ada:hunter2").decode())


class Asked(NamedTuple):
    """A request."""

    method: str
    path: str
    query: dict[str, str]
    authorization: str


class FakeRegistry:
    """`auth` says what it wants to see: nothing, `basic` or `bearer`."""

    def __init__(self) -> None:
        self.auth = ""
        self.where = ""
        self.realm = ""
        self.token_url = ""
        """Of the token service; its own by default."""
        self.asked: list[Asked] = []
        self.open = self.most_open = 0
        """Requests that are being answered, now and at most."""
        self._blobs: dict[str, bytes] = {}
        self._manifests: dict[str, tuple[str, bytes, str]] = {}
        self._steps: list[tuple[str, Step]] = []

    @property
    def login(self) -> dict[str, str]:
        """What it asks for."""
        return LOGIN if self.auth else {}

    async def push(self, made: Made, repository: str, tag: str) -> None:
        """Put an image there."""
        base = f"/v2/{repository}"
        for digest, body in made.blobs.items():
            self._blobs[f"{base}/blobs/{digest}"] = body
        for digest, (media, body) in made.manifests.items():
            self._manifests[f"{base}/manifests/{digest}"] = media, body, digest
        self._manifests[f"{base}/manifests/{tag}"] = (*made.manifests[made.digest], made.digest)

    def will(self, *steps: Step, of: str = "") -> None:
        """The next answers to paths that hold `of`."""
        self._steps += [(of, step) for step in steps]

    def count(self, method: str = "", of: str = "") -> int:
        """How often it was asked so."""
        return sum(method in one.method and of in one.path for one in self.asked)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Every request there is."""
        shown = request.headers.get("Authorization", "")
        self.asked.append(Asked(request.method, request.path, dict(request.query), shown))
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        try:
            return await self._answer(request, shown)
        finally:
            self.open -= 1

    async def _answer(self, request: web.Request, shown: str) -> web.StreamResponse:
        for place, (of, step) in enumerate(self._steps):
            if of in request.path:
                del self._steps[place]
                return await step(request)
        if request.path == "/token":
            return web.json_response({"token": TOKEN}, status=200 if shown == _basic() else 401)
        if self.auth and shown != (_basic() if self.auth == "basic" else f"Bearer {TOKEN}"):
            return web.json_response(
                {"errors": [{"code": "UNAUTHORIZED"}]},
                status=401,
                headers={"WWW-Authenticate": self._challenge()},
            )
        return self._content(request.path)

    def _content(self, path: str) -> web.StreamResponse:
        if path in self._blobs:
            return web.Response(body=self._blobs[path])
        if path in self._manifests:
            media, body, digest = self._manifests[path]
            named = {"Docker-Content-Digest": digest}
            return web.Response(body=body, content_type=media, headers=named)
        return web.json_response({"errors": [{"code": "MANIFEST_UNKNOWN"}]}, status=404)

    def _challenge(self) -> str:
        if self.auth == "basic":
            return 'Basic realm="fake"'
        url = self.token_url or f"http://{self.where}/token"
        return f'Bearer realm="{url}",service="fake",scope="repository:x:pull"'


def _basic() -> str:
    return "Basic " + base64.b64encode(b"ada:hunter2").decode()


def answer(status: int = 200, body: bytes = b"", **headers: str) -> Step:
    """A fixed answer; an underscore in a header's name stands for a dash."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def step(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers=named)

    return step


@asynccontextmanager
async def fake_registry(tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeRegistry]:
    """One that ends with the block."""
    fake = FakeRegistry()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        fake.where = f"127.0.0.1:{runner.addresses[0][1]}"
        yield fake
    finally:
        await runner.cleanup()
