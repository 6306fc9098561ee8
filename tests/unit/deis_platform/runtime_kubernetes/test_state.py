"""Status and instances out of what the mirrors hold."""

import datetime
from typing import Any

import msgspec
import pytest

from deis_platform.runtime.kubernetes import marks, names, state, views
from deis_platform.runtime.kubernetes.marks import Marks
from deis_platform.runtime.kubernetes.state import Held
from tests.unit.deis_platform.runtime_kubernetes.given import NOW, ago, container, pod, waiting

SERVICE = msgspec.convert(
    {"spec": {"selector": {"app": "blog"}, "ports": [{"port": 80, "targetPort": 5000}]}},
    views.Service,
)
WRITTEN = Marks(
    generation=4,
    release=2,
    deadline=NOW + datetime.timedelta(seconds=60),
    counts={"web": 1},
    around="there",
)


EVICTED = pod(
    "blog-web-1-e",
    status={
        "phase": "Failed",
        "reason": "Evicted",
        "message": "The node was low on resource: memory.",
        "containerStatuses": [],
    },
)


def deployment(generation: int = 7, seen: int = 7, ready: int = 1, **more: Any) -> views.Deployment:
    """A Deployment whose controller has seen a spec and has so many new pods."""
    return msgspec.convert(
        {
            "metadata": {
                "name": "blog-web",
                "generation": generation,
                "labels": {"type": "web"},
                **more.pop("meta", {}),
            },
            "spec": {"replicas": 1},
            "status": {
                "observedGeneration": seen,
                "replicas": ready,
                "updatedReplicas": ready,
                "availableReplicas": ready,
                **more,
            },
        },
        views.Deployment,
    )


def view(name: str, **meta: Any) -> views.View:
    """An object of which the metadata alone is kept."""
    return msgspec.convert({"metadata": {"name": name, **meta}}, views.View)


def keyed(deployments: list[views.Deployment], more: dict[str, Any]) -> dict[str, views.View]:
    """All that is written, by kind and name; `more` in the place of what it names, None for gone."""
    found: dict[str, Any] = {
        "Service/blog": SERVICE,
        "Secret/blog-v2-env": view("blog-v2-env", uid="a"),
        "NetworkPolicy/deis-app": view("deis-app", uid="b", generation=1),
    }
    found |= {f"Deployment/{one.metadata.name}": one for one in deployments} | more
    return {key: one for key, one in found.items() if one is not None}


def held(
    written: Marks = WRITTEN,
    around: str = "there",
    objects: dict[str, Any] | None = None,
    **more: Any,
) -> Held:
    """All there is, as it was written, but for what is said."""
    words = {key: marks.word(one) for key, one in keyed([deployment()], {}).items()}
    written = msgspec.structs.replace(written, objects=words)
    meta = {"name": "blog", "annotations": marks.annotations(written)}
    deployments = more.pop("deployments", [deployment()])
    return Held(
        namespace=msgspec.convert({"metadata": meta}, views.Namespace),
        service=SERVICE,
        deployments=deployments,
        pods=more.pop("pods", [pod()]),
        objects=keyed(deployments, objects or {}),
        around=around,
    )


def test_what_is_whole_and_ready_is_settled() -> None:
    status = state.status(held(), NOW)
    assert (status.generation, status.release, status.ready) == (4, 2, {"web": 1})
    assert (status.settled, status.serving, status.failure) == (True, True, "")


@pytest.mark.parametrize(
    "change",
    [
        {"objects": {"Service/blog": None}},
        {"objects": {"Service/blog": views.Service()}},
        {"objects": {"NetworkPolicy/deis-app": None}},
        {"objects": {"NetworkPolicy/deis-app": view("deis-app", uid="b", generation=2)}},
        {"objects": {"NetworkPolicy/deis-app": view("deis-app", uid="c", generation=1)}},
        {"objects": {"Secret/blog-v2-env": None}},
        {"around": "elsewhere"},
        {"deployments": []},
        {"deployments": [deployment(8)]},
        {"deployments": [deployment(), deployment(meta={"name": "blog-old"})]},
        {"written": msgspec.structs.replace(WRITTEN, generation=0)},
    ],
)
def test_what_is_not_as_it_was_written_counts_as_nothing(change: dict[str, Any]) -> None:
    found = held(**change)
    assert state.generation(found) == state.status(found, NOW).generation == 0
    assert len(state.status(found, NOW).instances) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"around": ""},  # not known now
        {"objects": {"Secret/more": view("more")}},
        {"objects": {"PodDisruptionBudget/theirs": view("theirs")}},
    ],
)
def test_what_is_no_change_of_ours(change: dict[str, Any]) -> None:
    assert state.generation(held(**change)) == 4


@pytest.mark.parametrize(
    ("change", "serving", "settled"),
    [
        ({"pods": [pod(), pod("old", labels={"version": "v1"})]}, True, False),
        ({"pods": [pod(), pod("gone", meta={"deletionTimestamp": ago(1)})]}, True, False),
        ({"pods": [pod(), pod("run", labels={"type": "run"})]}, True, True),
        ({"pods": [pod(), EVICTED]}, True, True),
        ({"pods": [EVICTED]}, False, False),
        ({"pods": [pod(labels={names.RETIRING: "true"})]}, False, False),
        ({"deployments": [deployment(seen=6)]}, False, False),
        ({"deployments": [deployment(ready=0)]}, False, False),
        ({"deployments": [deployment(replicas=2)]}, False, False),  # an old one serves still
        ({"pods": []}, False, False),
    ],
)
def test_serving_and_settled(change: dict[str, Any], serving: bool, settled: bool) -> None:
    status = state.status(held(**change), NOW)
    assert (status.serving, status.settled) == (serving, settled)


def test_a_quota_of_the_release_before_is_none_of_this_one() -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}
    stale = deployment(seen=6, ready=0, conditions=[condition])
    assert state.status(held(deployments=[stale], pods=[]), NOW).failure == ""
    late = deployment(ready=0, conditions=[condition])
    assert state.status(held(deployments=[late]), NOW).failure == ""  # its pod is there
    found = state.status(held(deployments=[late], pods=[]), NOW)
    assert found.failure == "exceeded quota"


def test_the_time_of_a_release_ends() -> None:
    starting = pod(status=container(state={"running": {}}))
    late = msgspec.structs.replace(WRITTEN, deadline=NOW - datetime.timedelta(seconds=1))
    status = state.status(held(pods=[starting], written=late), NOW)
    assert status.failure == "not ready in time: blog-web-1-a"
    assert state.status(held(pods=[starting]), NOW).failure == ""
    status = state.status(held(pods=[], deployments=[deployment(ready=0)], written=late), NOW)
    assert status.failure == "not ready in time: nothing was started"


def test_the_events_of_the_pod_that_failed_tell_why() -> None:
    starting = container(state={"running": {}})
    failed = pod("blog-web-1-a", status=starting, meta={"creationTimestamp": ago(20)})
    newer = pod("blog-worker-1-a", status=starting, meta={"creationTimestamp": ago(10)})
    ready = pod("blog-web-1-b", status=container(ready=True, state={"running": {}}))
    every = [failed, newer, ready]
    assert state.late(every, "blog-web-1-a ended with exit code 1") is failed
    assert state.late(every, "exceeded quota") is newer
    assert state.late(every, "not ready in time: blog-web-1-a, blog-worker-1-a") is newer
    assert state.late([ready], "blog-web-1-b") is None


def test_a_pod_that_was_put_off_its_node_fails_no_release() -> None:
    """Its phase stays for good; what counts is the pod that comes in its place."""
    starting = pod(status=container(state={"running": {}}))
    assert state.status(held(pods=[EVICTED, starting]), NOW).failure == ""
    condition = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}
    lacking = deployment(ready=0, conditions=[condition])
    found = state.status(held(pods=[EVICTED], deployments=[lacking]), NOW)
    assert found.failure == "exceeded quota"
    late = msgspec.structs.replace(WRITTEN, deadline=NOW - datetime.timedelta(seconds=1))
    none = deployment(ready=0)
    found = state.status(held(pods=[EVICTED], deployments=[none], written=late), NOW)
    assert found.failure == (
        "not ready in time: blog-web-1-e failed: Evicted The node was low on resource: memory."
    )
    found = state.status(held(pods=[EVICTED, starting], deployments=[none], written=late), NOW)
    assert found.failure == "not ready in time: blog-web-1-a"
    old = pod("old", labels={"version": "v1"}, status={"phase": "Failed", "reason": "Evicted"})
    found = state.status(held(pods=[old], deployments=[none], written=late), NOW)
    assert found.failure == "not ready in time: nothing was started"


@pytest.mark.parametrize(
    ("status", "meta", "expected"),
    [
        ({}, {}, "up"),
        ({}, {"deletionTimestamp": ago(1)}, "terminating"),
        (container(state={"running": {}}), {}, "starting"),
        (container(state={"terminated": {}}), {}, "terminating"),
        (waiting("CrashLoopBackOff"), {}, "error"),
        ({"phase": "Pending", "containerStatuses": []}, {}, "initializing"),
        ({"phase": "Pending"} | waiting("ContainerCreating"), {}, "creating"),
        ({"phase": "Pending"} | waiting("ErrImagePull"), {}, "ErrImagePull"),
        ({"phase": "Pending"} | waiting(""), {}, "initializing"),
        ({"phase": "Succeeded"}, {}, "down"),
        ({"phase": "Failed"}, {}, "crashed"),
        ({"phase": "Unknown"}, {}, "error"),
        ({"containerStatuses": []}, {}, "initializing"),
    ],
)
def test_the_states_of_instances(
    status: dict[str, Any], meta: dict[str, Any], expected: str
) -> None:
    assert state.state_of(pod(status=status, meta=meta)) == expected


def test_the_container_is_the_applications_not_one_beside_it() -> None:
    both = [
        {"name": "a-proxy", "ready": True, "state": {"running": {}}},
        {"name": "blog-web", "ready": False, "state": {"running": {}}},
    ]
    assert state.state_of(pod(status={"containerStatuses": both})) == "starting"


def test_instances_are_shown_newest_first_and_ended_ones_not() -> None:
    pods = [
        pod("old", status={"startTime": ago(90)}),
        pod("new", status={"startTime": ago(10)}),
        pod("over", status={"phase": "Succeeded"}),
        pod("soon", status={"phase": "Pending", "startTime": "", "containerStatuses": []}),
    ]
    shown = state.instances(pods, NOW)
    assert [one.name for one in shown] == ["soon", "new", "old"]
    assert shown[0].started == f"{NOW:%Y-%m-%dT%H:%M:%SZ}"


def test_the_end_of_a_pod_is_told_without_a_container() -> None:
    evicted = pod(status={"phase": "Failed", "containerStatuses": []})
    assert state.ended(evicted) == NOW - datetime.timedelta(seconds=70)
    over = {"phase": "Succeeded"} | container(state={"terminated": {"finishedAt": ago(5)}})
    assert state.ended(pod(status=over)) == NOW - datetime.timedelta(seconds=5)
    assert state.ended(pod()) is None
