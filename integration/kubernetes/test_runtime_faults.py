"""What goes wrong on a cluster: rollouts that fail early and in words while the old release serves,
changes by hand, foreign and dying namespaces, two controllers, an API server that is away."""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deis_bus.contracts.runtime import AppRef, Artifact
from deis_bus.errors import Refused, Transient
from deis_bus.routes import AppRoute
from deis_platform.retry import retry
from deis_platform.runtime.kubernetes import names
from integration.cluster.image import base_image
from integration.cluster.node import Node
from integration.kubernetes.app_rig import SECONDS, Rig, one_app
from integration.kubernetes.door_rig import Way
from integration.kubernetes.runtime_rig import (
    Cluster,
    build_namespace,
    facts_of,
    private_registry,
    running,
    running_on,
)
from integration.servers import RunningNats, until

pytestmark = [pytest.mark.kubernetes, pytest.mark.server, pytest.mark.timeout(240)]

MB = 1024 * 1024


@pytest.fixture
async def rig(node: Node, nats: RunningNats, stack_image: str) -> AsyncIterator[Rig]:
    async with one_app(node, nats.url, stack_image) as made:
        yield made


FAILURES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "memory": (
        {"command": "python3 -c 'x = bytearray(10**9)'", "memory_bytes": 64 * MB},
        ("used more memory than its limit (OOMKilled)",),
    ),
    "crashes": ({"command": "exit 7"}, ("ended with exit code 7", "in a row")),
    "never ready": (
        {"command": "sleep 300", "deploy_timeout_seconds": 6.0},
        ("not ready in time", "Readiness probe failed"),
    ),
    "tags": (
        {"tags": {"disk": "ssd", "zone": "b"}},
        ("finds no node: No nodes matched the provided labels: disk=ssd, zone=b",),
    ),
    "image": (
        {"artifact": Artifact(image="REGISTRY/no/such:1"), "command": ""},
        ("has no image: Err", "no/such:1"),
    ),
}


@pytest.mark.parametrize("what", FAILURES)
async def test_a_rollout_that_fails_is_told_in_words_while_the_old_release_serves(
    rig: Rig, what: str
) -> None:
    web, expected = FAILURES[what]
    (old,) = (await rig.deployed(rig.spec(1, 2))).instances
    spec = rig.spec(2, 3, **web)
    if image := spec.artifact.image:
        artifact = Artifact(image=image.replace("REGISTRY", rig.node.registry))
        spec = msgspec.structs.replace(spec, artifact=artifact, environment={"PORT": "5000"})
    await rig.runtime.apply(spec)
    failed = await rig.status(lambda status: bool(status.failure))
    assert failed.generation == 2
    for words in expected:
        assert words in failed.failure, failed.failure
    assert not failed.serving
    assert [one.state for one in failed.instances if one.name == old.name] == ["up"]
    back = await rig.deployed(rig.spec(3, 2))
    assert [one.name for one in back.instances] == [old.name]


@pytest.mark.own_node
async def test_a_private_image_runs_with_the_apps_credentials_alone(
    rig: Rig, node: Node, tmp_path: Path
) -> None:
    command = "exec python3 -m http.server 5000"
    with private_registry(node, tmp_path, "ann:s3cret") as where:
        there = dataclasses.replace(node, registry=where)
        archive = await asyncio.to_thread(base_image, print)
        image = await asyncio.to_thread(there.push_image, archive, "ann/app:1", "ann:s3cret")
        spec = rig.spec(1, 2, artifact=Artifact(image=image), command=command)
        spec = msgspec.structs.replace(spec, environment={"PORT": "5000"})
        await rig.runtime.apply(spec)
        failed = await rig.status(lambda status: bool(status.failure))
        assert "has no image: Err" in failed.failure
        assert "authori" in failed.failure  # unauthorized, authorization failed
        login = {"username": "ann", "password": "s3cret"}
        spec = msgspec.structs.replace(spec, generation=2, release=3, pull_secret=login)
        await rig.deployed(spec)
        pods = rig.node.get("-n", rig.app.app, "pods")
        assert "s3cret" not in str(pods)


async def test_more_than_the_quota_is_told_at_once(rig: Rig, stack_image: str) -> None:
    facts = msgspec.structs.replace(rig.cluster.facts, quota={"hard": {"pods": "1"}})
    async with running(rig.node, rig.bus, facts) as cluster:
        rig.cluster = cluster
        (old,) = (await rig.deployed(rig.spec(1, 2))).instances
        await cluster.runtime.apply(rig.spec(2, 3))
        failed = await rig.status(lambda status: bool(status.failure))
        assert "exceeded quota" in failed.failure
        assert [one.name for one in failed.instances] == [old.name]
        back = await rig.deployed(rig.spec(3, 2))
        assert [one.name for one in back.instances] == [old.name]


async def test_a_pod_that_its_node_gave_up_is_no_failure_of_a_later_scale(rig: Rig) -> None:
    """Kubelet leaves an evicted pod as `Failed`; a deadline of its own does the same to it."""
    (first,) = (await rig.deployed(rig.spec(1, 2))).instances
    rig.kube("patch", "pod", first.name, "-p", '{"spec":{"activeDeadlineSeconds":1}}')

    async def replaced() -> bool:
        shown = await rig.runtime.instances(rig.app)
        return [one.state for one in shown] == ["up"] and shown[0].name != first.name

    await until(replaced, "another pod in its place", SECONDS)
    assert rig.kube("get", "pod", first.name, "-o", "jsonpath={.status.phase}") == "Failed"
    scaled = await rig.deployed(rig.spec(2, 2, count=2))
    assert len(scaled.instances) == 2


async def test_changes_by_hand_come_back_and_what_is_an_operators_stays(rig: Rig) -> None:
    app = rig.app.app
    await rig.runtime.claim(rig.app)
    await rig.runtime.route(AppRoute(app=app, appuuid=rig.app.appuuid, hosts=(app,)))
    await rig.deployed(rig.spec(1, 2))
    rig.kube("annotate", "service", app, "team=green")
    rig.kube("annotate", "deployment", f"{app}-web", "team=green")
    drifts = (
        ("scale", "deployment", f"{app}-web", "--replicas=0"),
        ("set", "env", f"deployment/{app}-web", "WORKFLOW_RELEASE=v9"),
        ("delete", "service", app),
        ("delete", "secret", f"{app}-v2-env"),
        ("delete", "deployment", f"{app}-web", "--cascade=foreground"),
        ("patch", "service", app, "-p", '{"spec":{"selector":{"type":"x"}}}'),
    )
    for drift in drifts:
        rig.kube(*drift)
        await rig.status(lambda status: not status.generation)
        await rig.runtime.route(AppRoute(app=app, appuuid=rig.app.appuuid, hosts=(app,)))
        await rig.deployed(rig.spec(1, 2))
        if drift[0] == "scale":
            meta = rig.node.get("-n", app, "service", app)["metadata"]
            assert meta["annotations"]["team"] == "green"
            meta = rig.node.get("-n", app, "deployment", f"{app}-web")["metadata"]
            assert meta["annotations"]["team"] == "green"
    service = rig.node.get("-n", app, "service", app)
    assert service["spec"]["selector"] == {"app": app, "heritage": "deis", "type": "web"}
    assert service["metadata"]["annotations"]["router.deis.io/domains"] == app
    deployment = rig.node.get("-n", app, "deployment", f"{app}-web")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (release,) = (one for one in container["env"] if one["name"] == "WORKFLOW_RELEASE")
    assert "value" not in release


async def test_what_guards_an_app_comes_back_and_what_is_an_operators_stays(
    rig: Rig, stack_image: str
) -> None:
    app = rig.app.app
    facts = msgspec.structs.replace(rig.cluster.facts, quota={"hard": {"pods": "9"}})
    guards = {
        f"networkpolicy/{names.POLICY}": '{"spec":{"egress":[{}]}}',
        f"poddisruptionbudget/{app}-web": '{"spec":{"maxUnavailable":2}}',
        f"resourcequota/{names.quota(app)}": '{"spec":{"hard":{"pods":"99"}}}',
    }
    async with running(rig.node, rig.bus, facts) as cluster:
        rig.cluster = cluster
        await rig.deployed(rig.spec(1, 2, count=2))
        before = {name: rig.node.get("-n", app, name)["spec"] for name in guards}
        denied = before[f"networkpolicy/{names.POLICY}"]["egress"][-1]["to"][0]["ipBlock"]["except"]
        assert f"{rig.node.address}/32" in denied
        for name, edit in guards.items():
            rig.kube("annotate", name, "team=green")
            rig.kube("label", name, "team=green")
            for drift in (
                ("patch", name, "--type=merge", "-p", edit),
                ("label", name, "heritage-"),
                ("delete", name),
            ):
                rig.kube(*drift)
                await rig.status(lambda status: not status.generation)
                await cluster.runtime.apply(rig.spec(1, 2, count=2))
                found = rig.node.get("-n", app, name)
                assert found["spec"] == before[name], drift
                assert found["metadata"]["labels"]["heritage"] == "deis", drift
                if drift[0] != "delete":
                    assert found["metadata"]["labels"]["team"] == "green", drift
                    assert found["metadata"]["annotations"]["team"] == "green", drift
        assert len((await rig.settled(1)).instances) == 2


@pytest.mark.disturbs
@pytest.mark.usefixtures("steadied")
async def test_policies_follow_where_the_api_server_is(rig: Rig) -> None:
    def denied() -> list[str]:
        spec = rig.node.get("-n", app, "networkpolicy", names.POLICY)["spec"]
        return list(spec["egress"][-1]["to"][0]["ipBlock"]["except"])

    app, slice_ = (
        rig.app.app,
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": rig.app.app,
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": "kubernetes"},
            },
            "addressType": "IPv4",
            # Not ready: no request is sent there.
            "endpoints": [{"addresses": ["192.0.2.9"], "conditions": {"ready": False}}],
        },
    )
    (old,) = (await rig.deployed(rig.spec(1, 2))).instances
    before = denied()
    try:
        rig.node.kube("apply", "-f", "-", text=json.dumps(slice_))
        await rig.status(lambda status: not status.generation)
        await rig.runtime.apply(rig.spec(1, 2))
        assert sorted(denied()) == sorted([*before, "192.0.2.9/32"])
    finally:
        rig.node.kube("-n", "default", "delete", "endpointslice", app)
    await rig.status(lambda status: not status.generation)
    await rig.runtime.apply(rig.spec(1, 2))
    assert denied() == before
    assert [one.name for one in (await rig.settled(1)).instances] == [old.name]


async def test_builds_are_kept_off_the_api_server(rig: Rig) -> None:
    def closed() -> list[str]:
        spec = rig.node.get("-n", namespace, "networkpolicy", "deis-builds")["spec"]
        return list(spec["egress"][0]["to"][0]["ipBlock"]["except"])

    with build_namespace(rig.node) as namespace:
        policy = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "deis-builds", "namespace": namespace},
            "spec": {
                "podSelector": {},
                "policyTypes": ["Egress"],
                "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]}],
            },
        }
        wanted = ["10.0.0.0/8", f"{rig.node.address}/32"]
        facts = msgspec.structs.replace(rig.cluster.facts, build_namespace=namespace)
        async with running(rig.node, rig.bus, facts):
            for _ in ("made", "changed by hand"):
                rig.node.kube("replace", "--force", "-f", "-", text=json.dumps(policy))
                await until(lambda: closed() == wanted, "the policy", SECONDS)


async def test_a_foreign_namespace_is_untouched(rig: Rig) -> None:
    app = rig.app.app
    rig.node.kube("create", "namespace", app)
    before = rig.node.get("namespace", app)
    route = AppRoute(app=app, appuuid=rig.app.appuuid, hosts=(app,))
    for call in (
        rig.runtime.claim(rig.app),
        rig.runtime.apply(rig.spec(1, 2)),
        rig.runtime.route(route),
    ):
        with pytest.raises(Refused) as caught:
            await call
        assert (caught.value.code, caught.value.kind) == (409, "foreign")
        assert app in caught.value.detail
    await rig.runtime.remove(rig.app)
    assert rig.node.get("namespace", app) == before
    assert rig.kube("get", "all,secrets", "-o", "name", "-l", "heritage=deis") == ""


async def test_an_app_created_again_while_its_namespace_is_being_deleted_waits(rig: Rig) -> None:
    app = rig.app.app
    await rig.runtime.claim(rig.app)
    rig.kube("create", "configmap", "held")
    rig.kube("patch", "configmap", "held", "-p", '{"metadata":{"finalizers":["test/held"]}}')
    removing = asyncio.create_task(rig.runtime.remove(rig.app))
    again = AppRef(app=app, appuuid=rig.app.appuuid[::-1])

    async def refused() -> bool:
        try:
            await rig.runtime.claim(again)
        except Transient as fault:
            return "still being deleted" in str(fault)
        return False

    await until(refused, "the end of the first namespace has begun")
    rig.kube("patch", "configmap", "held", "-p", '{"metadata":{"finalizers":null}}')
    await removing
    await retry(lambda: rig.runtime.claim(again), seconds=SECONDS)
    meta = rig.node.get("namespace", app)["metadata"]
    assert meta["annotations"]["deis.io/app-uuid"] == again.appuuid


async def test_of_two_controllers_at_once_the_newest_generation_stands(rig: Rig) -> None:
    async with running(rig.node, rig.bus, rig.cluster.facts) as other:

        async def apply(cluster: Cluster, generation: int) -> None:
            with contextlib.suppress(Refused, Transient):
                await cluster.runtime.apply(rig.spec(generation, 2, count=generation % 3))

        for first in range(1, 9, 2):
            await asyncio.gather(apply(rig.cluster, first), apply(other, first + 1))
        await retry(lambda: rig.runtime.apply(rig.spec(8, 2, count=2)), seconds=SECONDS)
        await rig.settled(8)
        assert (await other.runtime.status(rig.app)).ready == {"web": 2}
        with pytest.raises(Refused) as caught:
            await other.runtime.apply(rig.spec(7, 2, count=1))
        assert caught.value.kind == "stale"


async def test_two_platforms_in_one_cluster_leave_each_other_alone(
    rig: Rig, stack_image: str
) -> None:
    await rig.runtime.claim(rig.app)
    async with running(rig.node, rig.bus, facts_of(stack_image)) as other:
        assert await other.runtime.held() == ()
        with pytest.raises(Refused) as caught:
            await other.runtime.claim(rig.app)
        assert caught.value.kind == "foreign"
        await other.runtime.remove(rig.app)
    assert rig.node.get("namespace", rig.app.app)["status"]["phase"] == "Active"


async def test_a_deploy_goes_on_when_the_api_server_is_back(rig: Rig, tmp_path: Path) -> None:
    way = Way(rig.node.kubeconfig)
    async with (
        way.opened(tmp_path) as api,
        running_on(api, rig.node, rig.bus, rig.cluster.facts) as cluster,
    ):
        rig.cluster = cluster
        (old,) = (await rig.deployed(rig.spec(1, 2))).instances
        await rig.runtime.apply(rig.spec(2, 3))
        way.away = True
        way.cut()
        with pytest.raises(Transient):
            await rig.runtime.apply(rig.spec(3, 4))
        shown = await rig.runtime.instances(rig.app)
        assert old.name in {one.name for one in shown}
        # Meanwhile the cluster goes on without us.
        rollout = ("rollout", "status", f"deployment/{rig.app.app}-web", "--timeout=50s")
        await asyncio.to_thread(rig.kube, *rollout)
        way.away = False
        (new,) = (await rig.settled(2)).instances
        assert new.release == 3
        await retry(lambda: rig.runtime.apply(rig.spec(3, 4)), seconds=SECONDS)
        (new,) = (await rig.settled(3)).instances
        assert new.release == 4
