"""Why a rollout fails, in words."""

from typing import Any

import msgspec
import pytest

from deis_platform.runtime.kubernetes import views, words
from tests.unit.deis_platform.runtime_kubernetes.given import (
    NOW,
    ago,
    container,
    event,
    pod,
    waiting,
)

NAME = "blog-web-1-a"
PULL = 'Failed to pull image "x": not found'


def ended(seconds: float, **end: Any) -> dict[str, Any]:
    """The end of a container so long ago."""
    return {"terminated": {"finishedAt": ago(seconds), **end}}


def unplaced(seconds: float, message: str = "0/1 nodes are available") -> dict[str, Any]:
    """A pod without a node for so long."""
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
        "lastTransitionTime": ago(seconds),
    }
    return {"phase": "Pending", "conditions": [condition], "containerStatuses": []}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, ""),
        (waiting("ContainerCreating"), ""),
        (waiting("ErrImagePull", "no such image"), "has no image: ErrImagePull: no such image"),
        (waiting("CreateContainerConfigError", "x"), "cannot start: CreateContainerConfigError: x"),
        (
            waiting(
                "CreateContainerConfigError",
                "failed to sync secret cache: timed out waiting for the condition",
            ),
            "",
        ),
        (
            waiting("CrashLoopBackOff", restartCount=3, lastState=ended(5, exitCode=7)),
            "ended with exit code 7, 3 times in a row",
        ),
        (container(state=ended(1, exitCode=1), restartCount=0), ""),
        (container(state=ended(1, exitCode=1), restartCount=2), "exit code 1, 3 times in a row"),
        (
            container(state=ended(1, exitCode=137, reason="OOMKilled")),
            "was killed: it used more memory than its limit (OOMKilled)",
        ),
        (
            container(state=ended(1, exitCode=128, reason="StartError", message="no bash")),
            "",
        ),
        # It had run for long: restarts of last week are none in a row.
        (container(state={"running": {}}, restartCount=9, lastState=ended(9999, exitCode=1)), ""),
        (unplaced(3), ""),
        (unplaced(11), "finds no node: 0/1 nodes are available"),
        (
            {"phase": "Failed", "reason": "Evicted", "message": "disk", "containerStatuses": []},
            "failed: Evicted disk",
        ),
    ],
)
def test_what_a_pod_says(status: dict[str, Any], expected: str) -> None:
    found = words.of_pod(pod(status=status), NOW)
    assert expected in found
    assert found.startswith(NAME) if expected else found == ""


def test_tags_that_no_node_has_are_named() -> None:
    message = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
    tagged = pod(status=unplaced(20, message), spec={"nodeSelector": {"b": "2", "a": "1"}})
    found = words.of_pod(tagged, NOW)
    assert "No nodes matched the provided labels: a=1, b=2 (0/1 nodes" in found
    full = pod(status=unplaced(20, "Insufficient cpu"), spec={"nodeSelector": {"a": "1"}})
    assert "provided labels" not in words.of_pod(full, NOW)
    assert words.of_pod(tagged, NOW, ignore_scheduling=True) == ""


@pytest.mark.parametrize(
    ("seconds", "told", "given", "passes"),
    [
        (3, "401 Unauthorized", True, True),
        (3, "insufficient_scope: authorization failed", True, True),
        (21, "401 Unauthorized", True, False),
        (3, "401 Unauthorized", False, False),
        (3, "not found", True, False),
    ],
)
def test_a_pull_may_have_begun_before_its_login_was_read(
    seconds: float, told: str, given: bool, passes: bool
) -> None:
    login = {"imagePullSecrets": [{"name": "private-registry"}]} if given else {}
    status = waiting("ErrImagePull", told) | {"startTime": ago(seconds)}
    assert (words.of_pod(pod(status=status, spec=login), NOW) == "") is passes


def test_a_quota_comes_before_what_pods_say() -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}
    deployment = msgspec.convert({"status": {"conditions": [condition]}}, views.Deployment)
    crashing = pod(status=waiting("ErrImagePull"))
    assert words.failure([crashing], [deployment], NOW) == "exceeded quota"
    assert "ErrImagePull" in words.failure([crashing], [], NOW)


def test_events_tell_what_a_status_does_not() -> None:
    late = pod(status=container(state={"running": {}}))
    told = [
        event("Unhealthy", "Readiness probe failed: old", 9),
        event("Unhealthy", "Readiness probe failed: new", 1),
        event("Scheduled", "Successfully assigned", 0),
    ]
    assert words.explained("not ready", late, told) == "not ready: Readiness probe failed: new"
    assert words.explained("not ready", late, []) == "not ready"
    assert words.explained("not ready", None, told) == "not ready"


def test_the_cause_of_a_pull_is_told_once_and_not_its_state() -> None:
    backing_off = pod(status=waiting("ImagePullBackOff", "Back-off"))
    told = [event("Failed", PULL, 5), event("Failed", "Error: ImagePullBackOff", 1)]
    assert words.explained("no image", backing_off, told) == f"no image: {PULL}"
    assert words.explained(f"no image: {PULL}", backing_off, told) == f"no image: {PULL}"


def test_the_latest_event_is_that_of_the_pod() -> None:
    told = [
        event("Scheduled", "x", 9),
        event("Pulling", "x", 5),
        event("Killing", "x", 1, name="other"),
    ]
    assert words.latest(told, NAME) == "Pulling"
    assert words.latest([], NAME) == ""


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00Z"])
def test_nonsense_is_no_time(text: str) -> None:
    assert words.moment(text) is None
