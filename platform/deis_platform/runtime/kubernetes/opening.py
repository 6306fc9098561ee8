"""The Kubernetes runtime as its settings say."""

import contextlib
import os
from collections.abc import AsyncIterator

import msgspec

from deis_bus.ports import Bus
from deis_platform.build_environment import passed
from deis_platform.groups import KubernetesSettings, RuntimeSettings
from deis_platform.kubernetes import open_kubernetes
from deis_platform.registry import Registry, open_registry
from deis_platform.reports import Reports
from deis_platform.runner import Part
from deis_platform.runtime.kubernetes.builds import Builds
from deis_platform.runtime.kubernetes.facts import Facts
from deis_platform.runtime.kubernetes.images import Inspect
from deis_platform.runtime.kubernetes.runtime import KubernetesRuntime


@contextlib.asynccontextmanager
async def opened_runtime(
    settings: RuntimeSettings, cluster: KubernetesSettings, bus: Bus
) -> AsyncIterator[tuple[KubernetesRuntime, tuple[Part, ...]]]:
    """The runtime and its parts. Raises NoCluster."""
    async with open_kubernetes(cluster) as api, open_registry(settings.registry) as registry:
        reports = Reports(bus)
        facts = _facts(settings, cluster)
        runtime = KubernetesRuntime(api, bus, facts, reports, asking(registry))
        yield runtime, (*runtime.parts, reports)


@contextlib.asynccontextmanager
async def opened_builds(
    settings: RuntimeSettings, cluster: KubernetesSettings, bus: Bus
) -> AsyncIterator[tuple[Builds, tuple[Part, ...]]]:
    """Builds and their parts. Raises NoCluster."""
    async with open_kubernetes(cluster) as api:
        builds = Builds(api, bus, _facts(settings, cluster))
        yield builds, builds.parts


def asking(registry: Registry) -> Inspect:
    """The lowest port of those that an image exposes, asked of that client (api.md 25.2)."""

    async def port(image: str, credentials: dict[str, str]) -> int:
        found = await registry.inspect(image, credentials)
        return found.ports[0] if found.ports else 0

    return port


def _facts(settings: RuntimeSettings, cluster: KubernetesSettings) -> Facts:
    return Facts(
        stack_image=settings.stack_image,
        pull_policy=settings.pull_policy,
        stop_delay_seconds=settings.stop_delay_seconds,
        quota=msgspec.json.decode(settings.quota or "{}"),
        platform_namespace=cluster.namespace,
        build_namespace=settings.build_namespace,
        build_selector=dict(settings.build_selector),
        build_memory_bytes=settings.build_memory_bytes,
        build_cpus=settings.build_cpus,
        build_environ=passed(settings.build_env, os.environ),
        ignore_scheduling=settings.ignore_scheduling,
    )
