"""A router as a process on the host, beside a real API server, and the objects that it reads."""

import asyncio
import base64
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import psutil
import yaml

from deis_platform.embedded.ports import free_port
from deis_platform.kubernetes import Kubernetes
from deis_platform.races import first

GIVE_UP_SECONDS = 40.0
PAUSE_SECONDS = 0.02
ROUTABLE = {"router.deis.io/routable": "true"}
PREFIX = "router.deis.io/"
Check = Callable[[], Any]


class Places:
    """The namespaces of one test."""

    def __init__(self, name: str) -> None:
        self.platform = name
        self.certificates = f"{name}-certs"
        self.app = f"{name}-app"
        self.other = f"{name}-other"

    def all(self) -> tuple[str, ...]:
        """All of them."""
        return (self.platform, self.certificates, self.app, self.other)


class RouterProcess:
    """One router, and a client."""

    def __init__(self, folder: Path, kubeconfig: Path, places: Places, **env: str) -> None:
        self.http = f"127.0.0.1:{free_port()}"
        self.https = f"127.0.0.1:{free_port()}"
        self.health = env.get("DEIS_ROUTER_HEALTH", f"127.0.0.1:{free_port()}")
        self.git = f"127.0.0.1:{free_port()}"
        self.log = folder / "router.log"
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None
        self._env = {
            "DEIS_RUNTIME": "kubernetes",
            "DEIS_KUBECONFIG": str(kubeconfig),
            "DEIS_POD_NAMESPACE": places.platform,
            "DEIS_CERTIFICATE_NAMESPACE": places.certificates,
            "DEIS_NATS_URL": f"nats://127.0.0.1:{free_port()}",  # nobody is there
            "DEIS_DOMAIN": f"{places.platform}.test",
            "DEIS_ROUTER_FOLDER": str(folder / "router"),
            "DEIS_ROUTER_HTTP": self.http,
            "DEIS_ROUTER_HTTPS": self.https,
            "DEIS_ROUTER_HEALTH": self.health,
            "DEIS_ROUTER_GIT": self.git,
            **env,
        }

    @property
    def pid(self) -> int:
        """Of the router itself."""
        assert self._process is not None
        return self._process.pid

    @property
    def port(self) -> int:
        """Of the plain listener."""
        return int(self.http.rpartition(":")[2])

    async def start(self) -> None:
        """Start it; it may take its time to be ready."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "deis_services.router"),
                stdout=log,
                stderr=log,
                env={k: v for k, v in os.environ.items() if not k.startswith("DEIS_")} | self._env,
            )

    async def kill(self) -> None:
        """End it without a word; nginx goes with it."""
        if self._process is not None and self._process.returncode is None:
            family = psutil.Process(self._process.pid).children(recursive=True)
            self._process.kill()
            await self._process.wait()
            await until(lambda: not any(child.is_running() for child in family))

    @asynccontextmanager
    async def running(self) -> AsyncIterator["RouterProcess"]:
        """Run it while the context lasts."""
        async with aiohttp.ClientSession() as self._session:
            await self.start()
            try:
                await self.until_ready()
                yield self
            finally:
                if self._process is not None and self._process.returncode is None:
                    self._process.terminate()
                    await self._process.wait()

    async def until_ready(self) -> None:
        """Wait until it lets requests in."""

        async def answers() -> bool:
            with contextlib.suppress(aiohttp.ClientError):
                async with self.session.get(f"http://{self.health}/healthz") as answer:
                    return answer.status == 200
            assert self._process is not None
            assert self._process.returncode is None, self.log.read_text()[-3000:]
            return False

        await until(answers)

    @property
    def session(self) -> aiohttp.ClientSession:
        """The client."""
        assert self._session is not None
        return self._session

    async def get(self, host: str, path: str = "/", **options: Any) -> tuple[int, str]:
        """Status and text."""
        url, headers = f"http://{self.http}{path}", {"Host": host} | options.pop("headers", {})
        async with self.session.request(
            options.pop("method", "GET"), url, headers=headers, allow_redirects=False, **options
        ) as answer:
            return answer.status, await answer.text()

    async def shows(self, host: str, status: int, text: str = "", **options: Any) -> None:
        """Wait until a request gets this."""

        async def holds() -> bool:
            found, body = await self.get(host, **options)
            return found == status and text in body

        await until(holds)


async def until(condition: Check) -> None:
    """Wait until it holds; TimeoutError when it never does."""
    async with asyncio.timeout(GIVE_UP_SECONDS):
        while True:
            held = condition()
            if await held if asyncio.iscoroutine(held) else held:
                return
            await asyncio.sleep(PAUSE_SECONDS)


class Relay:
    """A way to the API server that can be closed and opened."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        config: dict[str, Any] = yaml.safe_load(kubeconfig.read_text())
        self._far = urlsplit(config["clusters"][0]["cluster"]["server"])
        self._port = free_port()
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{self._port}"
        self.kubeconfig = folder / "relayed"
        self.kubeconfig.write_text(json.dumps(config))
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        """Let connections through."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    async def close(self) -> None:
        """End those there are, refuse others."""
        if self._server is not None:
            self._server.close()
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._far.hostname, self._far.port)
        ends = {writer, far_writer}
        self._open |= ends
        try:
            with contextlib.suppress(OSError):
                await first(_pumped(reader, far_writer), _pumped(far_reader, writer))
        finally:
            self._open -= ends
            for end in ends:
                end.transport.abort()


async def _pumped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(64 * 1024):
        writer.write(chunk)
        await writer.drain()


class Page:
    """A server of a test's own that pods' addresses stand for: answers with its name."""

    def __init__(self, name: str, host: str) -> None:
        self.name = name
        self.host = host
        self.port = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "Page":
        self._server = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = self.name.encode()
        with contextlib.suppress(EOFError, OSError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
                await writer.drain()
        writer.close()


def service(namespace: str, name: str, **annotations: str) -> dict[str, Any]:
    """A routable Service without a selector."""
    told = {PREFIX + key.replace("_", "."): text for key, text in annotations.items()}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app": name, "heritage": "deis"} | ROUTABLE,
            "annotations": told,
        },
        "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 5000}]},
    }


def endpoints(
    namespace: str, name: str, *pages: Page, out: Iterable[Page] = (), port: str = "http"
) -> dict[str, Any]:
    """The EndpointSlices of a Service as one object: all pages have the port of the first; those
    in `out` are about to end."""
    every = [(page, True) for page in pages] + [(page, False) for page in out]
    number = every[0][0].port if every else 5000
    assert all(page.port == number for page, _ in every)
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-{number}",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "ports": [{"name": port, "port": number, "protocol": "TCP"}],
        "endpoints": [
            {
                "addresses": [page.host],
                "conditions": {"ready": stays, "serving": True, "terminating": not stays},
            }
            for page, stays in every
        ],
    }


def certificate(namespace: str, name: str, pair: tuple[str, str]) -> dict[str, Any]:
    """A Secret of type kubernetes.io/tls."""
    data = dict(zip(("tls.crt", "tls.key"), pair, strict=True))
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": namespace},
        "data": {key: base64.b64encode(text.encode()).decode() for key, text in data.items()},
    }


def deployment(namespace: str, **annotations: str) -> dict[str, Any]:
    """The router's own Deployment, none of whose pods run."""
    told = {f"{PREFIX}nginx.{key.replace('_', '.')}": text for key, text in annotations.items()}
    labels = {"app": "deis-router"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "deis-router", "namespace": namespace, "annotations": told},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "router", "image": "localhost/none:1"}]},
            },
        },
    }


async def apply(api: Kubernetes, *objects: dict[str, Any]) -> None:
    """Write them, one after the other."""
    for obj in objects:
        await api.apply(obj, manager="test")
