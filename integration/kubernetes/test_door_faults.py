"""A real API server that answers 429 or 500: to the door, to a mirror, to the runtime.

429 by priority and fairness, 500 by a webhook that has to agree and is not there.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deis_bus.contracts.runtime import AppRef, AppSpec, AppStatus, Artifact, Process
from deis_bus.errors import Transient
from deis_bus.jetstream import JetStreamBus, connect
from deis_platform.groups import KubernetesSettings
from deis_platform.kubernetes import Kubernetes, View, client, kinds, open_kubernetes, transport
from deis_platform.retry import retry
from integration.cluster.node import Node
from integration.kubernetes.door_rig import Counted, Followed, config_map
from integration.kubernetes.faults_rig import (
    Answers,
    broken,
    opened_as_account,
    sent_away,
    webhook_that,
)
from integration.kubernetes.runtime_rig import Cluster, facts_of, running, running_on
from integration.servers import RunningNats, until

pytestmark = [pytest.mark.kubernetes, pytest.mark.server]

MAP = kinds.CONFIG_MAP
SECONDS = 30.0
WRITES = ("create", "update", "patch", "delete")


class Some(View, frozen=True):
    """A ConfigMap."""

    data: dict[str, str] = {}


@pytest.fixture
def namespace(node: Node) -> Iterator[str]:
    """Of the test's own, with a ConfigMap `there`. Its end is not waited for."""
    name = f"t-door-{secrets.token_hex(4)}"
    node.kube("create", "namespace", name)
    try:
        node.kube("-n", name, "create", "configmap", "there")
        yield name
    finally:
        node.kube("delete", "namespace", name, "--wait=false")


@pytest.fixture
async def api(node: Node) -> AsyncIterator[Kubernetes]:
    async with open_kubernetes(KubernetesSettings(kubeconfig=str(node.kubeconfig))) as opened:
        yield opened


@pytest.fixture
async def caller(node: Node, namespace: str, tmp_path: Path) -> AsyncIterator[Kubernetes]:
    """The door for an account that can be sent away without harm to others."""
    async with opened_as_account(node, namespace, tmp_path) as opened:
        yield opened


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    return Answers(monkeypatch)


async def written(api: Kubernetes, namespace: str) -> list[dict[str, str]]:
    """What our ConfigMaps hold, in the order of their names."""
    found = await api.list(MAP, namespace, view=Some)
    ours = [one for one in found.items if one.metadata.name != "kube-root-ca.crt"]
    return [one.data for one in sorted(ours, key=lambda one: one.metadata.name)]


def writes(api: Kubernetes, namespace: str) -> list[Callable[[], Any]]:
    """One of each kind. A creation that is done twice makes two objects."""
    made = config_map(namespace, **{"from": "create"})
    made["metadata"] = {"namespace": namespace, "generateName": "made-"}
    applied = config_map(namespace, "applied", **{"from": "apply"})
    patch = {"data": {"from": "patch"}}
    return [
        lambda: api.apply(applied),
        lambda: api.create(made),
        lambda: api.patch(MAP, "there", namespace, patch),
    ]


async def all_fail(*asks: Callable[[], Any]) -> list[str]:
    """Asked at once; what each says that ends as Transient, as all have to."""
    faults = await asyncio.gather(*(ask() for ask in asks), return_exceptions=True)
    assert all(isinstance(fault, Transient) for fault in faults), faults
    return [str(fault) for fault in faults]


ALL_WRITTEN = [{"from": "apply"}, {"from": "create"}, {"from": "patch"}]


async def test_429_is_waited_out(
    node: Node, api: Kubernetes, caller: Kubernetes, namespace: str, answers: Answers
) -> None:
    """By every call, at the pace that the API server names; and nothing is done twice."""
    await api.create(config_map(namespace, "gone"))

    def look() -> Any:
        return caller.get(MAP, "there", namespace, view=View)

    calls: list[Callable[[], Any]] = [
        *writes(caller, namespace),
        look,
        lambda: caller.list(MAP, namespace, view=View),
        lambda: caller.delete(MAP, "gone", namespace),
    ]
    async with sent_away(node, caller, namespace, "*") as end:
        await answers.begins(429, look)
        refused = asyncio.create_task(answers.more(429, 2 * len(calls)))
        asked = [asyncio.ensure_future(call()) for call in calls]
        await refused
        assert not any(one.done() for one in asked)
        await end()
        *_, deleted = await asyncio.gather(*asked)
    assert deleted is True
    assert await written(api, namespace) == ALL_WRITTEN
    assert all(after is not None and after.isdigit() for _, after in answers.heard)


async def test_429_beyond_the_time_of_a_call(
    node: Node,
    api: Kubernetes,
    caller: Kubernetes,
    namespace: str,
    answers: Answers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with sent_away(node, caller, namespace, "*"):
        monkeypatch.setattr(transport, "CALL_SECONDS", 2.0)
        await answers.begins(429, lambda: caller.get(MAP, "there", namespace, view=View))
        for said in await all_fail(*writes(caller, namespace)):
            assert "answered 429" in said
        with pytest.raises(Transient, match="answered 429"):
            async with contextlib.aclosing(
                caller.watch(MAP, namespace, version="0", view=View)
            ) as watch:
                await anext(watch)
        assert await written(api, namespace) == [{}]


async def test_a_mirror_outlasts_429(
    node: Node,
    api: Kubernetes,
    caller: Kubernetes,
    namespace: str,
    answers: Answers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It keeps what it knows, misses nothing, and goes on where it was."""
    monkeypatch.setattr(client, "WATCH_SECONDS", 1)
    counted = Counted(caller)
    async with Followed(counted, MAP, namespace, Some).running() as followed:
        await followed.has("kube-root-ca.crt")
        before, told = dict(followed.mirror.items), len(followed.told)
        async with sent_away(node, caller, namespace, "*") as end:
            await answers.begins(429, lambda: caller.get(MAP, "there", namespace, view=View))
            # The watch there was has ended, and the next one was sent away.
            await counted.until_watched(counted.watches + 2)
            for step in range(5):
                await api.apply(config_map(namespace, "changed", step=str(step)))
            await api.delete(MAP, "there", namespace)
            await api.create(config_map(namespace, "last"))
            await answers.more(429)
            assert followed.mirror.items == before
            await end()
            await followed.has("last")
        heard = [(key.partition("/")[2], new and new.data) for key, _, new in followed.told[told:]]
    steps = [("changed", {"step": str(step)}) for step in range(5)]
    assert heard == [*steps, ("there", None), ("last", {})]
    assert counted.lists == 1


@pytest.mark.parametrize("does", ["absent", "babbles", "hangs"])
async def test_500_is_transient_and_nothing_is_written_twice(
    node: Node, api: Kubernetes, namespace: str, answers: Answers, does: str
) -> None:
    asks = writes(api, namespace)
    async with webhook_that(node, does) as webhook:
        with broken(node, namespace, webhook.port, "configmaps") as end:
            await answers.begins(500, lambda: api.patch(MAP, "there", namespace, {}))
            before = answers.count(500)
            for said in await all_fail(*asks):
                assert "answered 500" in said
                assert "failed calling webhook" in said
            # Each was asked for once: it may have been done, so whether again is for the caller.
            assert answers.count(500) == before + len(asks)
            assert await written(api, namespace) == [{}]
            refused = asyncio.create_task(answers.more(500, 2 * len(asks)))
            asked = [asyncio.create_task(retry(ask, seconds=SECONDS)) for ask in asks]
            await refused
            await end()
            await asyncio.gather(*asked)
    assert await written(api, namespace) == ALL_WRITTEN


async def test_a_webhook_slower_than_a_call(
    node: Node, api: Kubernetes, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call ends in its own time, and what it asked for is not done behind its back."""
    asks = writes(api, namespace)

    async def hangs() -> bool:
        try:
            await api.patch(MAP, "there", namespace, {})
        except Transient as fault:
            return "no answer in time" in str(fault)
        return False

    async with webhook_that(node, "hangs") as webhook:
        with broken(node, namespace, webhook.port, "configmaps", seconds=10) as end:
            with monkeypatch.context() as shorter:
                shorter.setattr(transport, "CALL_SECONDS", 2.0)
                await until(hangs, "a call that hangs", SECONDS)
                for said in await all_fail(*asks):
                    assert "no answer in time" in said
            await end()
            await asyncio.gather(*(retry(ask, seconds=SECONDS) for ask in asks))
    assert await written(api, namespace) == ALL_WRITTEN


class App:
    """An application on the runtime."""

    def __init__(self, node: Node, cluster: Cluster) -> None:
        self.node = node
        self.cluster = cluster
        self.ref: AppRef = cluster.app()

    def spec(self, generation: int) -> AppSpec:
        """One worker, of an image that every node has."""
        worker = Process(type="worker", command="exec sleep 300", count=1, grace_seconds=1.0)
        return AppSpec(
            app=self.ref.app,
            appuuid=self.ref.appuuid,
            generation=generation,
            release=generation + 1,
            artifact=Artifact(image=self.node.base_image),
            environment={"PORT": "5000", "GENERATION": str(generation)},
            processes=(worker,),
        )

    async def apply(self, generation: int) -> None:
        await self.cluster.runtime.apply(self.spec(generation))

    async def settled(self, generation: int) -> AppStatus:
        """Its status once that is all there is."""

        async def right() -> bool:
            status = await self.cluster.runtime.status(self.ref)
            assert not status.failure, status.failure
            return status.settled and status.generation == generation

        await until(right, "the status", SECONDS)
        return await self.cluster.runtime.status(self.ref)

    def names(self, kind: str) -> list[str]:
        """Of what carries our label and is not on its way out."""
        found = self.node.get("-n", self.ref.app, kind, "-l", "heritage=deis")
        metas = [one["metadata"] for one in found["items"]]
        return [meta["name"] for meta in metas if "deletionTimestamp" not in meta]

    async def there_once(self, generation: int) -> str:
        """One of everything, once that generation is all there is; the name of its pod."""
        (instance,) = (await self.settled(generation)).instances
        app = self.ref.app
        assert self.names("deployments") == [f"{app}-worker"]
        assert self.names("services") == [app]
        assert self.names("pods") == [instance.name]
        return instance.name


@pytest.fixture
async def bus(nats: RunningNats) -> AsyncIterator[JetStreamBus]:
    async with connect(nats.url, "controller") as connected:
        yield connected


async def test_an_app_is_whole_after_500_at_each_step(
    node: Node, bus: JetStreamBus, answers: Answers
) -> None:
    """Every apply comes a step further than the one before; the old release serves meanwhile."""
    async with (
        webhook_that(node, "absent") as webhook,
        running(node, bus, facts_of(node.base_image)) as cluster,
    ):
        app = App(node, cluster)
        await cluster.runtime.claim(app.ref)
        await cluster.api.apply(config_map(app.ref.app, "probe"))
        for generation in (1, 2):
            old = [one.name for one in await cluster.runtime.instances(app.ref)]
            with contextlib.ExitStack() as stack:
                steps = [
                    stack.enter_context(broken(node, app.ref.app, webhook.port, "configmaps", kind))
                    for kind in ("secrets", "services", "deployments")
                ]
                for end in steps:
                    await answers.begins(
                        500, lambda: cluster.api.patch(MAP, "probe", app.ref.app, {})
                    )
                    with pytest.raises(Transient, match="answered 500"):
                        await app.apply(generation)
                    status = await cluster.runtime.status(app.ref)
                    assert status.generation != generation
                    assert [one.name for one in status.instances] == old
                    await end()
            await retry(lambda: app.apply(generation), seconds=SECONDS)  # noqa: B023
            assert await app.there_once(generation) not in old


async def test_an_app_is_whole_after_429(
    node: Node,
    bus: JetStreamBus,
    caller: Kubernetes,
    namespace: str,
    answers: Answers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running_on(caller, node, bus, facts_of(node.base_image)) as cluster:
        app = App(node, cluster)
        async with sent_away(node, caller, namespace, *WRITES) as end:
            await answers.begins(429, lambda: caller.patch(MAP, "there", namespace, {}))
            with monkeypatch.context() as shorter:
                shorter.setattr(transport, "CALL_SECONDS", 2.0)
                with pytest.raises(Transient, match="answered 429"):
                    await app.apply(1)
            refused = asyncio.create_task(answers.more(429, 2))
            applied = asyncio.create_task(app.apply(1))
            await refused
            await end()
            await applied
        await app.there_once(1)
