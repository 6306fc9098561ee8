"""One application on the Kubernetes runtime of the test node, deployed as a test says."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from deis_bus.contracts.runtime import AppRef, AppSpec, AppStatus, Artifact, Process
from deis_bus.jetstream import JetStreamBus, connect
from deis_platform.runtime.kubernetes import KubernetesRuntime
from integration.cluster.node import Node
from integration.kubernetes.runtime_rig import Cluster, facts_of, running
from integration.runtime_rig import APPS, Artifacts, slug
from integration.servers import until

SECONDS = 120.0
OF_THE_SPEC = ("artifact", "environment", "processes", "pull_secret", "deploy_timeout_seconds")


class Rig:
    """One application of this platform."""

    def __init__(self, node: Node, cluster: Cluster, bus: JetStreamBus, artifact: Artifact) -> None:
        self.node = node
        self.cluster = cluster
        self.bus = bus
        self.artifact = artifact
        self.app: AppRef = cluster.app()

    @property
    def runtime(self) -> KubernetesRuntime:
        return self.cluster.runtime

    def another(self) -> "Rig":
        """Another application of the same platform."""
        return Rig(self.node, self.cluster, self.bus, self.artifact)

    def spec(self, generation: int, release: int, count: int = 1, **web: Any) -> AppSpec:
        """So many instances of `web`, which answers unless it is told otherwise; what is no field
        of a process is one of the spec."""
        top = {name: web.pop(name) for name in OF_THE_SPEC if name in web}
        given: dict[str, Any] = {"command": "python3 server", "routable": True} | web
        spec = AppSpec(
            app=self.app.app,
            appuuid=self.app.appuuid,
            generation=generation,
            release=release,
            artifact=self.artifact,
            environment={"WORKFLOW_RELEASE": f"v{release}"},
            processes=(Process(type="web", count=count, grace_seconds=1.0, **given),),
            deploy_timeout_seconds=60.0,
        )
        return msgspec.structs.replace(spec, **top)

    async def deployed(self, spec: AppSpec) -> AppStatus:
        """Applied, and all there is."""
        await self.runtime.apply(spec)
        return await self.settled(spec.generation)

    async def settled(self, generation: int) -> AppStatus:
        """The status once this generation is all there is."""

        def right(status: AppStatus) -> bool:
            assert not status.failure, status.failure
            return status.settled and status.generation == generation

        return await self.status(right)

    async def status(self, right: Callable[[AppStatus], bool]) -> AppStatus:
        """The status once it is as it should be."""
        found: list[AppStatus] = []

        async def reached() -> bool:
            found[:] = [await self.runtime.status(self.app)]
            return right(found[0])

        await until(reached, "the status", SECONDS)
        return found[0]

    async def failed(self, spec: AppSpec) -> AppStatus:
        """Applied, and the status once it says why it fails."""
        await self.runtime.apply(spec)
        return await self.status(
            lambda status: bool(status.failure) and status.generation == spec.generation
        )

    def kube(self, *words: str, text: str = "") -> str:
        """`kubectl` in the application's namespace."""
        return self.node.kube("-n", self.app.app, *words, text=text)


@asynccontextmanager
async def one_app(node: Node, url: str, stack_image: str) -> AsyncIterator[Rig]:
    """An application and a runtime of its own, on the bus at `url`; its slug can be fetched."""
    artifacts = Artifacts()
    async with (
        artifacts.serving(node.host_address),
        connect(url, "controller") as bus,
        running(node, bus, facts_of(stack_image)) as cluster,
    ):
        yield Rig(node, cluster, bus, artifacts.add("worker", slug(APPS / "worker")))
