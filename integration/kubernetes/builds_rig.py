"""Builds in pods of the test node, what they fetch, and the other end of their streams."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable

import msgspec

from deis_bus.clock import new_id
from deis_bus.contracts.runtime import BuildJoin, BuildRun
from deis_bus.ports import Bus, ByteStream
from deis_platform.groups import KubernetesSettings
from deis_platform.kubernetes import open_kubernetes
from deis_platform.runner import run_parts
from deis_platform.runtime.kubernetes.builds import Builds
from deis_platform.runtime.kubernetes.facts import Facts
from integration.builder_objects import Objects, archive
from integration.cluster.node import Node
from integration.hearing import Heard
from integration.servers import until

UUID = "6f1f7f6e-0000-4000-8000-000000000001"
GO = "go/now"
PATIENCE_SECONDS = 90.0


class Rig:
    """A builder's builds, on a namespace of their own; each test has objects of its own."""

    def __init__(
        self, node: Node, builds: Builds, client: Bus, store: Objects, facts: Facts
    ) -> None:
        self.node = node
        self.builds = builds
        self.client = client
        self.store = store
        self.facts = facts
        self.id = f"p-{secrets.token_hex(4)}"
        self.source_key, self.slug = f"sources/{self.id}.tar.gz", f"slugs/{self.id}.tgz"
        self.cache, self.go_key = f"cache/{self.id}.tgz", f"{GO}/{self.id}"
        store.tokens |= {
            "t-source": "sources/",
            "t-slug": "slugs/",
            "t-cache": "cache/",
            "t-go": "go/",
        }

    def source(self, compile_script: str = "", **files: str | bytes) -> None:
        """What is pushed: a script that runs before the build, and files."""
        held = {"Procfile": "web: cat made\n", **files}
        if compile_script:
            held["bin/pre-compile"] = f"#!/bin/bash\n{compile_script}\n"
        self.store.held[self.source_key] = archive(held)

    def wait_for_go(self) -> str:
        """Shell words that wait until the test calls `go`."""
        url = self.store.url(self.go_key)
        return (
            f"until curl -sf -o /dev/null -H 'Authorization: Bearer t-go' {url}; do sleep 0.1; done"
        )

    def go(self) -> None:
        """Let what waits go on."""
        self.store.held[self.go_key] = b"go"

    def task(self, stream: str, **more: object) -> BuildRun:
        """This test's build."""
        task = BuildRun(
            id=self.id,
            kind="buildpack",
            app="blog",
            appuuid=UUID,
            sha="c0ffee",
            source_url=self.store.url(self.source_key),
            source_token="t-source",
            slug_url=self.store.url(self.slug),
            slug_token="t-slug",
            cache_url=self.store.url(self.cache),
            cache_token="t-cache",
            environment={"SECRET": "s3cret", "not a name": "x"},
            stream=stream,
        )
        return msgspec.structs.replace(task, **more)

    @contextlib.asynccontextmanager
    async def building(self, **more: object) -> AsyncIterator[ByteStream]:
        """A build; its stream, until the end of the context."""
        stream = await self.client.open_stream(new_id(), "opener")
        try:
            await self.builds.build(self.task(stream.id, **more))
            yield stream
        finally:
            await stream.close()

    async def build(self, **more: object) -> Heard:
        """A build to its end."""
        async with self.building(**more) as stream:
            return await heard_of(stream)

    async def joined(self, heard: int, builds: Builds | None = None) -> Heard:
        """The rest of its output, heard over another stream."""
        stream = await self.client.open_stream(new_id(), "opener")
        try:
            join = BuildJoin(id=self.id, stream=stream.id, heard=heard)
            await (builds or self.builds).join_build(join)
            return await heard_of(stream)
        finally:
            await stream.close()

    def left(self) -> set[str]:
        """What is there of this test's build, by kind and name."""
        found = self.node.kube(
            "-n", self.facts.build_namespace, "get", "pods,secrets", "-o", "name",
            "-l", "deis.io/build", "--ignore-not-found",
        ).split()  # fmt: skip
        return {name for name in found if "kube-root" not in name}

    async def until(self, true: Callable[[], bool], what: str) -> None:
        """Wait until it is true; AssertionError with `what` when that lasts."""
        await until(lambda: asyncio.to_thread(true), what, PATIENCE_SECONDS)


async def heard_of(stream: ByteStream) -> Heard:
    """Everything to the end of the stream."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await Heard().listen(stream)


@contextlib.asynccontextmanager
async def builder(node: Node, bus: Bus, facts: Facts) -> AsyncIterator[Builds]:
    """Builds as a builder holds them, until the end of the context."""
    stop = asyncio.Event()
    async with open_kubernetes(KubernetesSettings(kubeconfig=str(node.kubeconfig))) as api:
        builds = Builds(api, bus, facts)
        running = asyncio.create_task(run_parts(builds.parts, stop))
        try:
            yield builds
        finally:
            stop.set()
            await running
