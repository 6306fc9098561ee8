"""Which runtime the settings ask for, opened; Kubernetes is imported only where it is wanted."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from deis_bus.ports import Bus
from deis_platform.groups import KubernetesSettings, RuntimeSettings
from deis_platform.runner import Part
from deis_platform.runtime.local import LocalRuntime
from deis_platform.runtime.port import BuildRuntime, RoutedRuntime, Runtime


@dataclass(frozen=True)
class Opened:
    """A runtime, and the parts that have to run for it."""

    runtime: Runtime
    parts: tuple[Part, ...] = ()
    routed: RoutedRuntime | None = None
    """The same runtime, where it also keeps the routes."""


@dataclass(frozen=True)
class OpenedBuilds:
    """What a build worker needs, and the parts that have to run for it."""

    runtime: BuildRuntime
    parts: tuple[Part, ...] = ()


@contextlib.asynccontextmanager
async def open_runtime(
    settings: RuntimeSettings, cluster: KubernetesSettings, bus: Bus
) -> AsyncIterator[Opened]:
    """The whole port, as the controller uses it. Raises NoCluster without a way to the cluster."""
    if settings.kind == "local":
        yield Opened(LocalRuntime(bus))
        return
    from deis_platform.runtime.kubernetes.opening import opened_runtime

    async with opened_runtime(settings, cluster, bus) as (runtime, parts):
        yield Opened(runtime, parts, runtime)


@contextlib.asynccontextmanager
async def open_builds(
    settings: RuntimeSettings, cluster: KubernetesSettings, bus: Bus
) -> AsyncIterator[OpenedBuilds]:
    """Builds only, as the builder uses them. Raises NoCluster without a way to the cluster."""
    if settings.kind == "local":
        yield OpenedBuilds(LocalRuntime(bus))
        return
    from deis_platform.runtime.kubernetes.opening import opened_builds

    async with opened_builds(settings, cluster, bus) as (builds, parts):
        yield OpenedBuilds(builds, parts)
