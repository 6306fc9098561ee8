"""A mirror that runs in a test, and what cuts and forgets on its way."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from deis_platform.groups import KubernetesSettings
from deis_platform.kubernetes import Kind, Kubernetes, Listing, Mirror, View, open_kubernetes
from deis_platform.races import first
from integration.cluster.node import Node

SECONDS = 60.0


def config_map(namespace: str, name: str = "a", **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": {"heritage": "deis"}},
        "data": data,
    }


class Followed:
    """A mirror that runs, and what it told."""

    def __init__(self, api: Kubernetes, kind: Kind, namespace: str, view: Any = View) -> None:
        self.told: list[tuple[str, Any, Any]] = []
        self._changed = asyncio.Event()
        self.mirror: Mirror[Any] = Mirror(api, kind, view, namespace=namespace, heard=self._heard)

    def _heard(self, key: str, old: Any, new: Any) -> None:
        self.told.append((key, old, new))
        self._changed.set()

    async def until(self, true: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until it is true of the items."""
        async with asyncio.timeout(SECONDS):
            while not true(self.mirror.items):
                self._changed.clear()
                await self._changed.wait()

    async def has(self, name: str) -> None:
        """Wait until an object of that name is there."""
        await self.until(lambda items: any(key.endswith(f"/{name}") for key in items))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Followed"]:
        stop = asyncio.Event()
        task = asyncio.create_task(self.mirror.run(stop))
        try:
            async with asyncio.timeout(SECONDS):
                await self.mirror.synced.wait()
            yield self
        finally:
            stop.set()
            await task


class Way:
    """A way to the API server that can be cut or freeze: TCP, byte by byte, on 127.0.0.1."""

    def __init__(self, kubeconfig: Path) -> None:
        self._config: dict[str, Any] = yaml.safe_load(kubeconfig.read_text())
        self._server = urlsplit(self._cluster["server"])
        self._open: set[asyncio.StreamWriter] = set()
        self._frozen: set[asyncio.StreamWriter] = set()
        self.away = False
        """New connections are cut at once."""

    @property
    def _cluster(self) -> dict[str, Any]:
        cluster: dict[str, Any] = self._config["clusters"][0]["cluster"]
        return cluster

    @contextlib.asynccontextmanager
    async def opened(self, folder: Path) -> AsyncIterator[Kubernetes]:
        """The API server, by this way."""
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as listener:
            port = listener.sockets[0].getsockname()[1]
            self._cluster["server"] = f"https://127.0.0.1:{port}"
            (folder / "config").write_text(json.dumps(self._config))
            settings = KubernetesSettings(kubeconfig=str(folder / "config"))
            async with open_kubernetes(settings) as api:
                yield api
            self.cut()

    def cut(self) -> None:
        """End every connection there is."""
        for writer in self._open:
            writer.transport.abort()

    def freeze(self) -> None:
        """No byte moves any more on the connections there are; new ones work."""
        self._frozen |= self._open

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.away:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection(
            self._server.hostname, self._server.port
        )
        ends = {writer, far_writer}
        self._open |= ends
        try:
            with contextlib.suppress(OSError):
                await first(self._pumped(reader, far_writer), self._pumped(far_reader, writer))
        finally:
            self._open -= ends
            self._frozen -= ends
            for end in ends:
                end.transport.abort()

    async def _pumped(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(64 * 1024):
            if writer in self._frozen:
                continue  # swallowed: TCP says yes, and nobody answers
            writer.write(chunk)
            await writer.drain()


class Counted(Kubernetes):
    """Counts its lists and watches."""

    def __init__(self, api: Kubernetes) -> None:
        super().__init__(api._transport, api.namespace)
        self.lists = 0
        self.watches = 0
        self._begun = asyncio.Condition()

    async def list(self, *words: Any, **more: Any) -> Listing[Any]:
        self.lists += 1
        return await super().list(*words, **more)

    async def watch(self, *words: Any, **more: Any) -> AsyncGenerator[Any, None]:
        async with self._begun:
            self.watches += 1
            self._begun.notify_all()
        async with contextlib.aclosing(super().watch(*words, **more)) as watch:
            async for line in watch:
                yield line

    async def until_watched(self, count: int) -> None:
        """Wait until that many watches began."""
        async with asyncio.timeout(SECONDS), self._begun:
            await self._begun.wait_for(lambda: self.watches >= count)


def happening(namespace: str, name: str) -> dict[str, Any]:
    """An Event."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": {"kind": "Pod", "namespace": namespace, "name": "p"},
    }


def compact(node: Node) -> None:
    """Make etcd forget all versions but the newest."""
    program = """
import json, sys, urllib.request
def ask(path, **body):
    sent = urllib.request.Request(sys.argv[1] + path, json.dumps(body).encode())
    return json.load(urllib.request.urlopen(sent, timeout=10))
revision = ask("/v3/kv/range", key="AA==")["header"]["revision"]
ask("/v3/kv/compaction", revision=revision, physical=True)
"""
    etcd = next(
        word.partition("=")[2].partition(",")[0]
        for word in node.programs().state.programs["kube-apiserver"].argv
        if word.startswith("--etcd-servers=")
    )
    argv = node.inside(sys.executable, "-c", program, etcd)
    subprocess.run([str(word) for word in argv], check=True, timeout=30)
