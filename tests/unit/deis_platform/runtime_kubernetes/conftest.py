"""An API server with a store, and the runtime on it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from deis_bus.contracts.runtime import AppStatus
from deis_bus.memory import MemoryBroker, MemoryBus
from deis_platform.reports import Reports
from deis_platform.runner import run_parts
from deis_platform.runtime.kubernetes import KubernetesRuntime
from deis_platform.runtime.kubernetes.facts import Facts
from deis_platform.runtime.kubernetes.images import Inspect
from tests.unit.deis_platform.runtime_kubernetes.given import APP, FACTS
from tests.unit.deis_platform.runtime_kubernetes.server import Server, door, running_server

Starts = Callable[..., AbstractAsyncContextManager[KubernetesRuntime]]
"""Takes who asks registries (where nobody is given, images expose nothing), and facts."""


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with running_server() as running:
        yield running


async def _no_port(image: str, credentials: dict[str, str]) -> int:
    return 0


@pytest.fixture
def controller(server: Server) -> Starts:
    """Starts a controller's runtime, with mirrors of what there is then."""

    @asynccontextmanager
    async def started(
        inspect: Inspect = _no_port, facts: Facts = FACTS
    ) -> AsyncIterator[KubernetesRuntime]:
        stop = asyncio.Event()
        bus = MemoryBus(MemoryBroker(), "controller")
        async with door(server) as api:
            runtime = KubernetesRuntime(api, bus, facts, Reports(bus), inspect)
            running = asyncio.create_task(run_parts(runtime.parts, stop))
            try:
                yield runtime
            finally:
                stop.set()
                await running

    return started


async def held(runtime: KubernetesRuntime) -> int:
    """The generation that the runtime holds whole."""
    status: AppStatus = await runtime.status(APP)
    return status.generation
