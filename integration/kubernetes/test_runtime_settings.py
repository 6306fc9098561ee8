"""What an application's owner sets, as a real kubelet and scheduler keep it: probes, hooks, grace,
tags, limits, registry credentials (api.md 8, 25.3, 26.2)."""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deis_bus import subjects
from deis_bus.contracts.runtime import AppSpec, Artifact, Probe, Process
from deis_bus.events.processes import InstanceCrashed
from deis_bus.streams import REPORTS
from deis_platform.kubernetes import Mirror, kinds
from deis_platform.runtime.kubernetes import state, views, words
from deis_platform.runtime.kubernetes.names import PULL_SECRET
from integration.cluster.image import base_image
from integration.cluster.node import Node
from integration.kubernetes.app_rig import SECONDS, Rig, one_app
from integration.kubernetes.runtime_rig import private_registry
from integration.servers import RunningNats, until

pytestmark = [pytest.mark.kubernetes, pytest.mark.server, pytest.mark.timeout(180)]

MB = 1024 * 1024
FILES = "exec python3 -m http.server $PORT --directory /tmp"
"""Answers 404 at a path until a file of that name is made."""
KILLED = 128 + 9
TOLD = "/tmp/told"
IN_ORDER, OUT_OF_ORDER = 42, 43
TELLS = f"""
trap 'test "$(cat {TOLD})" = "started stopping" && exit {IN_ORDER}; exit {OUT_OF_ORDER}' TERM
python3 server & while :; do wait; done
"""
"""At SIGTERM it ends with IN_ORDER if both hooks have run by then, once each."""
HOOKS = {
    "post_start": f"printf started >> {TOLD}",
    "pre_stop": f"printf ' stopping' >> {TOLD}",
}
LIMITS = """
cd /sys/fs/cgroup
cat memory.max 2>/dev/null || cat memory/memory.limit_in_bytes
cat cpu.max 2>/dev/null || cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us
"""
"""Bytes, then microseconds of CPU time and of the period that they are for: cgroup 2, or 1."""


@pytest.fixture
async def rig(node: Node, nats: RunningNats, stack_image: str) -> AsyncIterator[Rig]:
    async with one_app(node, nats.url, stack_image) as made:
        yield made


def process(kind: str, command: str, **more: Any) -> Process:
    """One instance."""
    return msgspec.structs.replace(
        Process(type=kind, count=1, command=command, grace_seconds=1.0), **more
    )


def checks(how: dict[str, object], seconds: int = 300) -> dict[str, object]:
    """A probe that is asked every second, and fails after so many."""
    return {"periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": seconds} | how


def runs(*argv: str) -> dict[str, object]:
    """The probe that runs a program."""
    return {"exec": {"command": list(argv)}}


def pods_of(rig: Rig) -> dict[str, dict[str, Any]]:
    """The application's pods by process type."""
    found = rig.node.get("-n", rig.app.app, "pods")["items"]
    return {pod["metadata"]["labels"]["type"]: pod for pod in found}


def complaints(rig: Rig) -> set[tuple[str, str]]:
    """What kubelet says of probes: the process type's pod, and the words."""
    names = {pod["metadata"]["name"]: kind for kind, pod in pods_of(rig).items()}
    events = rig.node.get("-n", rig.app.app, "events", "--field-selector=reason=Unhealthy")["items"]
    return {(names.get(one["involvedObject"]["name"], ""), one["message"]) for one in events}


async def test_probes_decide_who_is_ready_and_who_starts_again(rig: Rig) -> None:
    answers = {"path": "/ready", "port": 5000}
    web = process("web", FILES, routable=True, probe=Probe(path="/ready", failure_threshold=300))
    own = process("own", FILES, probes={"readinessProbe": checks({"httpGet": answers})})
    lives = {
        "startupProbe": checks(runs("test", "-e", "/tmp/begun")),
        "livenessProbe": checks(runs("test", "-e", "/tmp/alive"), seconds=1),
    }
    slow = process("slow", "touch /tmp/alive; exec sleep infinity", probes=lives)
    await rig.runtime.apply(rig.spec(1, 2, processes=(web, own, slow)))

    def asked() -> bool:
        found = complaints(rig)
        by_path = {kind for kind, text in found if text.endswith("failed with statuscode: 404")}
        begun = any(kind == "slow" and text.startswith("Startup probe") for kind, text in found)
        return by_path == {"web", "own"} and begun

    await until(lambda: asyncio.to_thread(asked), "the answers to all probes", SECONDS)
    waiting = await rig.runtime.status(rig.app)
    assert waiting.ready == {"web": 0, "own": 0, "slow": 0}
    assert (waiting.serving, waiting.failure) == (False, "")
    pods = {kind: pod["metadata"]["name"] for kind, pod in pods_of(rig).items()}
    for kind, file in (("web", "ready"), ("own", "ready"), ("slow", "begun")):
        rig.kube("exec", pods[kind], "--", "touch", f"/tmp/{file}")
        await rig.status(lambda status, kind=kind: status.ready[kind] == 1)  # type: ignore[misc]
    await rig.settled(1)

    await rig.bus.ensure((REPORTS,), ())
    async with rig.bus.subscribe(subjects.report(rig.app.app, InstanceCrashed.TYPE)) as reports:
        rig.kube("exec", pods["slow"], "--", "rm", "/tmp/alive")
        async with asyncio.timeout(SECONDS):
            report = await anext(aiter(reports))
    crashed = msgspec.json.decode(report.data, type=InstanceCrashed)
    assert (crashed.instance, crashed.restarts) == (pods["slow"], 1)
    again = await rig.settled(1)
    restarts = {one.name: one.restarts for one in again.instances}
    assert restarts == {pods["web"]: 0, pods["own"]: 0, pods["slow"]: 1}


async def test_a_release_that_its_own_probe_ends_again_and_again_is_told_with_its_words(
    rig: Rig,
) -> None:
    """The words are those of the instance that failed, whoever else is not ready."""
    doomed = process(
        "doomed", "exec sleep infinity", probes={"livenessProbe": checks(runs("false"), seconds=1)}
    )
    never = process("web", FILES, routable=True, probe=Probe(path="/ready", failure_threshold=300))
    (old,) = (await rig.deployed(rig.spec(1, 2))).instances
    failed = await rig.failed(rig.spec(2, 3, processes=(never, doomed)))
    assert f"{rig.app.app}-doomed-" in failed.failure
    assert "in a row" in failed.failure
    assert "Liveness probe failed" in failed.failure
    assert "Readiness probe failed" not in failed.failure
    assert [one.state for one in failed.instances if one.name == old.name] == ["up"]


@contextlib.asynccontextmanager
async def last_seen(rig: Rig) -> AsyncIterator[dict[str, views.Pod]]:
    """Every pod of the application by its type, as it was last, also when it is gone."""
    seen: dict[str, views.Pod] = {}

    def heard(_key: str, old: views.Pod | None, new: views.Pod | None) -> None:
        if pod := new or old:
            seen[pod.metadata.labels["type"]] = pod

    stop = asyncio.Event()
    mirror = Mirror(rig.cluster.api, kinds.POD, views.Pod, namespace=rig.app.app, heard=heard)
    following = asyncio.create_task(mirror.run(stop))
    try:
        await mirror.synced.wait()
        yield seen
    finally:
        stop.set()
        await following


async def test_hooks_run_in_their_order_and_who_ignores_the_end_is_killed_after_its_grace(
    rig: Rig,
) -> None:
    """At its end a routable instance first waits until no router knows it, within its grace."""
    ignores = "trap '' TERM; exec python3 server"
    processes = (
        process("web", TELLS, routable=True, grace_seconds=30.0, **HOOKS),
        process("worker", TELLS, grace_seconds=30.0, **HOOKS),
        process("deaf", ignores, routable=True, grace_seconds=3.0),
    )
    await rig.deployed(rig.spec(1, 2, processes=processes))
    graces = {
        kind: pod["spec"]["terminationGracePeriodSeconds"] for kind, pod in pods_of(rig).items()
    }
    assert graces == {"web": 31, "worker": 30, "deaf": 4}
    async with last_seen(rig) as seen:
        none = tuple(msgspec.structs.replace(one, count=0) for one in processes)
        await rig.deployed(rig.spec(2, 2, processes=none))
        gone = await rig.status(lambda status: not status.instances)
    assert not gone.failure
    ends = {kind: state.terminated(pod) for kind, pod in seen.items()}
    codes = {kind: end.exit_code for kind, end in ends.items() if end is not None}
    assert codes == {"web": IN_ORDER, "worker": IN_ORDER, "deaf": KILLED}
    killed = words.moment(ends["deaf"].finished_at if ends["deaf"] else "")
    over = words.moment(seen["deaf"].metadata.deletion_timestamp)  # once its grace is over
    assert killed is not None
    assert over is not None
    assert killed >= over


async def test_an_instance_runs_where_its_tags_are(rig: Rig) -> None:
    """The node is labelled while the instance waits for it."""
    label = rig.app.app
    node = rig.node.get("nodes")["items"][0]["metadata"]["name"]
    await rig.runtime.apply(rig.spec(1, 2, tags={label: "yes"}))

    def refused() -> bool:
        found = [pod["status"].get("conditions", []) for pod in pods_of(rig).values()]
        return any(one.get("reason") == "Unschedulable" for every in found for one in every)

    await until(lambda: asyncio.to_thread(refused), "the scheduler's word", SECONDS)
    rig.node.kube("label", "node", node, f"{label}=yes")
    try:
        await rig.status(lambda status: status.settled)
        assert {pod["spec"]["nodeName"] for pod in pods_of(rig).values()} == {node}
    finally:
        rig.node.kube("label", "node", node, f"{label}-")


async def test_limits_hold_in_the_container_and_requests_decide_who_goes_first(rig: Rig) -> None:
    idle = "exec sleep infinity"
    both = process("both", idle, memory_bytes=96 * MB, cpus=0.25)
    less = msgspec.structs.replace(
        both, type="less", memory_request_bytes=32 * MB, cpu_request=0.05
    )
    await rig.deployed(rig.spec(1, 2, processes=(both, less, process("free", idle))))
    pods = pods_of(rig)
    classes = {kind: pod["status"]["qosClass"] for kind, pod in pods.items()}
    assert classes == {"both": "Guaranteed", "less": "Burstable", "free": "BestEffort"}
    for kind in ("both", "less"):
        held = rig.kube("exec", pods[kind]["metadata"]["name"], "--", "bash", "-c", LIMITS)
        memory, quota, period = map(int, held.split())
        assert (memory, quota / period) == (96 * MB, 0.25)
    # What the kubelet has given to it.
    (status,) = pods["less"]["status"]["containerStatuses"]
    assert status["allocatedResources"] == {"cpu": "50m", "memory": str(32 * MB)}


async def comes_back(rig: Rig, spec: AppSpec) -> None:
    """Credentials that are changed by hand do; what an operator adds beside them stays."""

    def secret() -> dict[str, Any]:
        return rig.node.get("-n", rig.app.app, "secret", PULL_SECRET)

    data = secret()["data"]
    nobodys = json.dumps({"data": {".dockerconfigjson": "e30="}})
    for change in (("annotate", "team=green"), ("patch", "-p", nobodys)):
        rig.kube(change[0], "secret", PULL_SECRET, *change[1:])
        await rig.status(lambda status: not status.generation)
        await rig.deployed(spec)
        assert secret()["data"] == data
    assert secret()["metadata"]["annotations"]["team"] == "green"


@pytest.mark.own_node
async def test_credentials_that_become_right_serve_and_wrong_ones_leave_the_old_release(
    rig: Rig, node: Node, tmp_path: Path
) -> None:
    with private_registry(node, tmp_path, "ann:s3cret") as where:
        there = dataclasses.replace(node, registry=where)
        archive = await asyncio.to_thread(base_image, print)

        async def pushed(tag: str) -> dict[str, Any]:
            """An image that the node has not, so that it needs a login; how it serves."""
            name, login = f"ann/app:{tag}", "ann:s3cret"
            image = await asyncio.to_thread(there.push_image, archive, name, login)
            return {
                "artifact": Artifact(image=image),
                "environment": {"PORT": "5000"},
                "command": "exec python3 -m http.server 5000",
            }

        right: dict[str, Any] = {"pull_secret": {"username": "ann", "password": "s3cret"}}
        wrong: dict[str, Any] = {"pull_secret": {"username": "ann", "password": "n0tright"}}
        images = [await pushed(tag) for tag in ("one", "two", "three")]

        async def corrected(rig: Rig) -> None:
            failed = await rig.failed(rig.spec(1, 2, **images[0], **wrong))
            assert "has no image: " in failed.failure
            assert "authori" in failed.failure  # unauthorized, authorization failed
            assert "n0tright" not in failed.failure
            now = rig.spec(2, 3, **images[0], **right)
            await rig.deployed(now)
            await comes_back(rig, now)

        async def spoilt(rig: Rig) -> None:
            (old,) = (await rig.deployed(rig.spec(1, 2, **images[1], **right))).instances
            failed = await rig.failed(rig.spec(2, 3, **images[2], **wrong))
            assert "authori" in failed.failure
            assert not failed.serving
            assert [one.state for one in failed.instances if one.name == old.name] == ["up"]
            await rig.deployed(rig.spec(3, 4, **images[2], **right))

        await asyncio.gather(corrected(rig), spoilt(rig.another()))
