"""From a Service's annotation to the first request served by it, with many Services present."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp

from deis_platform.groups import KubernetesSettings
from deis_platform.kubernetes import Kubernetes, Mirror, NotFound, View, kinds, open_kubernetes
from integration.bench.figures import line
from integration.bench.kubernetes.pages import says
from integration.kubernetes.platform import ClusterPlatform
from integration.kubernetes.router_rig import PREFIX, Page, endpoints, service

NAMESPACE = "bench-services"
AT_ONCE = 16
REACH_SECONDS = 1.0
PAGE = "a page"
GONE_SECONDS = 600.0
PAUSE_SECONDS = 1.0


async def measure(platform: ClusterPlatform, services: int, rounds: int) -> None:
    """Print the figure; the baseline is when a client of its own has the event of that write."""
    settings = KubernetesSettings(kubeconfig=str(platform.node.kubeconfig))
    ours, events = [], []
    async with (
        open_kubernetes(settings) as api,
        Page(PAGE, platform.node.host_address) as page,
        aiohttp.ClientSession() as session,
        _services(api, page, services),
        _heard(api) as heard,
    ):
        last = platform.host(f"s-{services - 1}")
        await says(session, platform.address, last, PAGE)
        for number in range(rounds):
            name, host = f"s-{number % services}", f"round-{number}"
            patch = {"metadata": {"annotations": {f"{PREFIX}domains": host}}}
            heard.expect(name)
            began = time.monotonic()
            seen = asyncio.create_task(says(session, platform.address, platform.host(host), PAGE))
            await api.patch(kinds.SERVICE, name, NAMESPACE, patch)
            ours.append(await seen - began)
            events.append(await heard.when(name) - began)
    line(f"Service annotation to first request served, {services} Services", "s", ours,
         base=events, reach=f"< {REACH_SECONDS:g} s", met=max(ours) < REACH_SECONDS,
         note="baseline: the event of that write at a client of its own")  # fmt: skip


@asynccontextmanager
async def _services(api: Kubernetes, page: Page, count: int) -> AsyncIterator[None]:
    """So many routable Services, each with the page behind it; gone at the end."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def make(name: str) -> None:
        async with slots:
            await api.create(service(NAMESPACE, name, domains=name))
            await api.create(endpoints(NAMESPACE, name, page))

    await _gone(api)  # of a run that was cut off
    await api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(make(f"s-{number}"))
        yield
    finally:
        await _gone(api)


async def _gone(api: Kubernetes) -> None:
    """End the namespace and wait: what is measured next is measured alone."""
    await api.delete(kinds.NAMESPACE, NAMESPACE)
    async with asyncio.timeout(GONE_SECONDS):
        with suppress(NotFound):
            while True:
                await api.get(kinds.NAMESPACE, NAMESPACE, view=View)
                await asyncio.sleep(PAUSE_SECONDS)


class Heard:
    """When the newest event of each Service came."""

    def __init__(self) -> None:
        self._times: dict[str, float] = {}
        self._news: dict[str, asyncio.Event] = {}

    def expect(self, name: str) -> None:
        """From here on an event of that Service counts."""
        self._news[name] = asyncio.Event()

    def hear(self, key: str, _old: View | None, _new: View | None) -> None:
        """The mirror's word."""
        name = key.partition("/")[2]
        self._times[name] = time.monotonic()
        if name in self._news:
            self._news[name].set()

    async def when(self, name: str) -> float:
        """The moment of the event that was expected."""
        await self._news[name].wait()
        return self._times[name]


@asynccontextmanager
async def _heard(api: Kubernetes) -> AsyncIterator[Heard]:
    """A client that watches the Services as the router does, and does nothing with them."""
    heard, stop = Heard(), asyncio.Event()
    mirror = Mirror(api, kinds.SERVICE, View, namespace=NAMESPACE, heard=heard.hear)
    running = asyncio.create_task(mirror.run(stop))
    try:
        await mirror.synced.wait()
        yield heard
    finally:
        stop.set()
        await running
