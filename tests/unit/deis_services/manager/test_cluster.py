"""The manager against API servers: one that keeps objects, and one that answers with faults."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import pytest

from deis_bus.events import Event
from deis_bus.events.fleet import (
    ComponentMissing,
    ComponentOutdated,
    ComponentReturned,
    ComponentStarted,
)
from deis_platform import logs
from deis_platform.kubernetes import Kubernetes
from deis_platform.runner import run_parts
from deis_services.manager import cluster as module
from deis_services.manager.cluster import Cluster
from deis_services.manager.feed import Feed
from deis_services.manager.model import Workload
from deis_services.manager.shown import MAX_WAITING, Shown
from tests.behaviour.bus import until
from tests.unit.deis_platform.kubernetes import fake as faults
from tests.unit.deis_platform.kubernetes.fake import Fake, fake_server, listing, refusal
from tests.unit.deis_platform.runtime_kubernetes.server import Server, door, running_server

PATIENCE = 20.0
MISSING = ComponentMissing(component="nats")
RETURNED = ComponentReturned(component="nats")
KINDS = ("deployments", "statefulsets", "daemonsets", "pods")


def nats(ready: int = 1, version: str = "0.1.0", name: str = "deis-nats", number: int = 1) -> Any:
    """The StatefulSet."""
    return {
        "metadata": {
            "name": name,
            "namespace": "deis",
            "labels": {"heritage": "deis", "app": name},
            "annotations": {"component.deis.io/version": version},
            "resourceVersion": str(number),
        },
        "spec": {"replicas": 1},
        "status": {"readyReplicas": ready},
    }


class Heard:
    """What a cluster tells."""

    def __init__(self) -> None:
        self.all: list[Event] = []
        self._more = asyncio.Event()

    def __call__(self, event: Event) -> None:
        self.all.append(event)
        self._more.set()

    async def until(self, *events: Event) -> None:
        """Wait until just these were told."""
        async with asyncio.timeout(PATIENCE):
            while self.all != list(events):
                self._more.clear()
                await self._more.wait()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER_SECONDS", 0.0)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with running_server() as running:
        running.put("namespaces", {"metadata": {"name": "deis"}})
        yield running


@pytest.fixture
def heard() -> Heard:
    return Heard()


def cluster_on(api: Kubernetes, heard: Heard, feed: Feed | None = None) -> Cluster:
    """One that expects NATS and a gateway, which is heard on the bus."""
    return Cluster(
        api, feed or Feed("", 60.0), heard, expected=("gateway", "nats"), heard=("gateway",)
    )


@contextlib.asynccontextmanager
async def running(*parts: Any) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(run_parts(parts, stop))
    try:
        yield
    finally:
        stop.set()
        await task


def problems(cluster: Cluster) -> dict[str, str]:
    return {one.name: one.problem for one in cluster.states()}


async def test_who_goes_and_comes_back_is_told_and_what_should_be_there_is_listed(
    server: Server, heard: Heard
) -> None:
    server.put("statefulsets", nats(ready=0))
    async with door(server) as api:
        cluster = cluster_on(api, heard)
        async with running(*cluster.parts):
            await heard.until(MISSING)
            assert problems(cluster) == {
                "gateway": "missing: not installed",
                "nats": "missing: 0 of 1 ready",
            }
            server.put("statefulsets", nats())
            await heard.until(MISSING, RETURNED)
            server.drop("statefulsets", "deis", "deis-nats")
            await heard.until(MISSING, RETURNED, MISSING)
            assert problems(cluster)["nats"] == "missing: not installed"


async def test_a_feed_that_is_read_later_is_looked_at_at_once(server: Server, heard: Heard) -> None:
    server.put("statefulsets", nats(ready=0))
    feed = Feed("", 60.0)
    outdated = ComponentOutdated(component="nats", version="0.1.0", latest="0.2.0")
    async with door(server) as api, running(*cluster_on(api, heard, feed).parts):
        await heard.until(MISSING)
        server.put("statefulsets", nats())
        await heard.until(MISSING, RETURNED)  # now nothing is left that makes it look
        feed.latest = {"nats": "0.2.0"}
        for listener in feed.listeners:
            listener()
        await heard.until(MISSING, RETURNED, outdated)


async def test_nothing_is_known_before_every_kind_was_listed(fake: Fake, heard: Heard) -> None:
    """An API server that hangs: nobody is told to be missing, and the list is empty."""
    for kind in KINDS[:-1]:
        fake.will(listing(), path=kind)
    async with faults.door(fake) as api:
        cluster = cluster_on(api, heard)
        async with running(*cluster.parts):
            await fake.until_asked(len(KINDS) + 3)  # the lists, and watches of those that came
            assert cluster.states() == ()
    assert heard.all == []


async def test_what_changed_while_a_watch_was_too_old_is_told(fake: Fake, heard: Heard) -> None:
    fake.will(listing(nats(ready=1)), refusal(410, "Expired"), path="statefulsets")
    fake.will(listing(nats(ready=0, number=7), version=9), path="statefulsets")
    for kind in ("deployments", "daemonsets", "pods"):
        fake.will(listing(), path=kind)
    async with faults.door(fake) as api:
        cluster = cluster_on(api, heard)
        async with running(*cluster.parts):
            await heard.until(MISSING)


async def test_who_may_not_look_tells_nothing_and_looks_again(fake: Fake, heard: Heard) -> None:
    no = refusal(403, "Forbidden")
    fake.will(no, no, no, listing(nats(ready=0)), path="statefulsets")
    for kind in ("deployments", "daemonsets", "pods"):
        fake.will(listing(), path=kind)
    async with faults.door(fake) as api:
        cluster = cluster_on(api, heard)
        async with running(*cluster.parts):
            await heard.until(MISSING)


def no_pauses() -> Iterator[float]:
    while True:
        yield 0.0


def bodies(fake: Fake) -> list[dict[str, Any]]:
    return [one.body for one in fake.asked]


def shown_on(api: Kubernetes, workloads: Iterable[Workload] = ()) -> Shown:
    known = {one.component: one for one in workloads}
    return Shown(api, known.get, no_pauses)


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    async with fake_server() as running_fake:
        yield running_fake


async def test_an_event_of_kubernetes_names_the_workload(server: Server) -> None:
    there = Workload(component="nats", kind="StatefulSet", name="deis-nats")
    async with door(server) as api:
        shown = shown_on(api, [there])
        async with running(shown):
            shown.hear(ComponentStarted(component="nats", instance="n1", version="1"))
            shown.hear(MISSING)
            shown.hear(ComponentReturned(component="manager", instance="m1"))
            await drained(shown)
    first, second = [
        (one["involvedObject"], one["type"], one["reason"], one["message"])
        for key, one in sorted(server.objects.items())
        if key[0] == "events"
    ]
    about = {"apiVersion": "apps/v1", "namespace": "deis"}
    assert first == (
        about | {"kind": "StatefulSet", "name": "deis-nats"},
        "Warning",
        "ComponentMissing",
        "component nats",
    )
    assert second == (
        about | {"kind": "Deployment", "name": "deis-workflow-manager"},
        "Normal",
        "ComponentReturned",
        "component manager, instance m1",
    )


async def drained(shown: Shown) -> None:
    """Wait until nothing waits."""
    await until(lambda: not shown.waiting)


async def test_an_event_is_written_again_while_the_server_is_away_and_once(fake: Fake) -> None:
    """The third attempt finds that the second was taken, whose answer was lost: no fault."""
    written = io.StringIO()
    logs.set_up(level="info", stream=written)
    fake.will(refusal(500), faults.cut, refusal(409, "AlreadyExists"), faults.answer({}))
    async with faults.door(fake) as api:
        shown = shown_on(api)
        async with running(shown):
            shown.hear(MISSING)
            shown.hear(RETURNED)
            await drained(shown)
    assert written.getvalue() == ""
    names = [one["metadata"]["name"] for one in bodies(fake)]
    assert names[0] == names[1] == names[2] != names[3]
    assert [one["reason"] for one in bodies(fake)] == [
        *["ComponentMissing"] * 3,
        "ComponentReturned",
    ]


async def test_an_event_that_may_not_be_written_holds_up_no_other(fake: Fake) -> None:
    # The door itself asks twice where a right was refused.
    fake.will(refusal(403, "Forbidden"), refusal(403, "Forbidden"), faults.answer({}))
    async with faults.door(fake) as api:
        shown = shown_on(api)
        async with running(shown):
            shown.hear(MISSING)
            shown.hear(RETURNED)
            await drained(shown)
    written = dict.fromkeys(one["reason"] for one in bodies(fake))
    assert list(written) == ["ComponentMissing", "ComponentReturned"]


async def test_while_the_server_hangs_the_newest_are_kept(fake: Fake) -> None:
    async with faults.door(fake) as api:
        shown = shown_on(api)
        async with running(shown):
            shown.hear(MISSING)
            await fake.until_asked(1)
            for _ in range(MAX_WAITING):
                shown.hear(RETURNED)
            assert {one["reason"] for one in shown.waiting} == {"ComponentReturned"}
            fake.will(*[faults.answer({})] * MAX_WAITING)
            fake.close()
            await drained(shown)
    written = [one["metadata"]["name"] for one in bodies(fake)]
    assert len(set(written)) == len(written) == MAX_WAITING + 1
