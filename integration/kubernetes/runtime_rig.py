"""The Kubernetes runtime on the test node, as the controller holds it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from deis_bus.ports import Bus
from deis_platform.groups import KubernetesSettings
from deis_platform.kubernetes import Kubernetes, open_kubernetes
from deis_platform.reports import Reports
from deis_platform.runner import run_parts
from deis_platform.runtime.kubernetes import KubernetesRuntime
from deis_platform.runtime.kubernetes.facts import Facts
from integration.cluster.node import Node
from tests.behaviour.runtime import APP


@dataclass(frozen=True)
class Cluster:
    """A runtime whose parts run, and its door."""

    api: Kubernetes
    runtime: KubernetesRuntime


async def no_port(image: str, credentials: dict[str, str]) -> int:
    """A registry that tells of no port."""
    return 0


@asynccontextmanager
async def running(
    node: Node, bus: Bus, stack_image: str, *, namespace: str = "deis-test-builds"
) -> AsyncIterator[Cluster]:
    """The runtime until the end of the context; then the suite's application is gone."""
    facts = Facts(
        stack_image=stack_image,
        stop_delay_seconds=1,
        build_namespace=namespace,
    )
    reports = Reports(bus)
    stop = asyncio.Event()
    async with open_kubernetes(KubernetesSettings(kubeconfig=str(node.kubeconfig))) as api:
        runtime = KubernetesRuntime(api, bus, facts, reports, no_port)
        parts = asyncio.create_task(run_parts((*runtime.parts, reports), stop))
        try:
            yield Cluster(api, runtime)
        finally:
            await runtime.remove(APP)
            stop.set()
            await parts
