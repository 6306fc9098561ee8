"""What the manager makes of pods and workloads as the API server words them."""

from typing import Any

import msgspec
import pytest

from deis_platform.kubernetes import kinds
from deis_services.manager import views
from deis_services.manager.model import PodState, Workload
from deis_services.manager.views import PodView, WorkloadView

LABELS = {"app": "deis-router", "heritage": "deis"}


def pod(*containers: dict[str, Any], **status: Any) -> PodState | None:
    raw = {
        "metadata": {"name": "deis-router-1", "labels": LABELS},
        "status": {"phase": "Running", "containerStatuses": containers} | status,
    }
    return views.pod(msgspec.convert(raw, PodView))


def seen(*containers: dict[str, Any], **status: Any) -> PodState:
    found = pod(*containers, **status)
    assert found is not None
    return found


def container(restarts: int = 0, *, ready: bool = False, **states: Any) -> dict[str, Any]:
    return {"ready": ready, "restartCount": restarts} | states


def ended(code: int, reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason}}


def test_a_pod_that_runs() -> None:
    state = seen(container(ready=True, state={"running": {"startedAt": "x"}}))
    assert state == PodState(component="router", name="deis-router-1", ready=True)


@pytest.mark.parametrize(
    ("now", "crashing"),
    [
        ({"waiting": {"reason": "CrashLoopBackOff"}}, True),
        (ended(1), True),
        ({"running": {"startedAt": "x"}}, False),
        ({"waiting": {"reason": "ContainerCreating"}}, False),
    ],
)
def test_a_pod_crashes_between_its_end_and_its_next_start(
    now: dict[str, Any], crashing: bool
) -> None:
    assert seen(container(2, state=now, lastState=ended(3))).crashing is crashing


def test_the_newest_end_says_why() -> None:
    assert (
        seen(container(2, state=ended(137, "OOMKilled"), lastState=ended(3))).reason == "OOMKilled"
    )
    assert seen(container(2, lastState=ended(3))).reason == "exit code 3"
    assert seen(container(2, lastState=ended(0, "Completed"))).reason == "exit code 0"
    assert seen(container()).reason == ""


def test_of_two_containers_the_one_that_crashes_says_why() -> None:
    quiet, loud = container(0, ready=True), container(3, lastState=ended(9))
    state = seen(quiet, loud)
    assert (state.restarts, state.reason, state.ready) == (3, "exit code 9", False)


def test_a_container_before_the_others_may_crash_too() -> None:
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
    first = container(4, state=waiting, lastState=ended(2))
    later = container(state={"waiting": {"reason": "PodInitializing"}})
    state = seen(later, initContainerStatuses=[first])
    assert (state.crashing, state.restarts, state.reason) == (True, 4, "exit code 2")
    done = container(0, ready=True, state=ended(0, "Completed"))
    assert not seen(container(ready=True), initContainerStatuses=[done]).crashing


def test_why_a_pod_does_not_start() -> None:
    assert seen(container(state={"waiting": {"reason": "ErrImagePull"}})).trouble == "ErrImagePull"
    assert seen(container(state={"waiting": {"reason": "ContainerCreating"}})).trouble == ""
    unplaced = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    assert seen(conditions=[unplaced], phase="Pending").trouble == "Unschedulable"


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_ended_for_good_counts_for_nobody(phase: str) -> None:
    assert pod(container(), phase=phase) is None


def test_a_pod_without_a_component_counts_for_nobody() -> None:
    assert views.pod(PodView()) is None


def test_a_pod_that_is_being_deleted_does_not_crash() -> None:
    raw = {
        "metadata": {"name": "x", "labels": LABELS, "deletionTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"containerStatuses": [container(state=ended(0, "Completed"))]},
    }
    state = views.pod(msgspec.convert(raw, PodView))
    assert state is not None
    assert not state.crashing


def workload(spec: dict[str, Any], status: dict[str, Any]) -> WorkloadView:
    meta = {"name": "deis-router", "annotations": {"component.deis.io/version": "1.2"}}
    template = {"spec": {"containers": [{"image": "deis/platform:1.2"}, {"image": "other"}]}}
    raw = {"metadata": meta, "spec": {"template": template} | spec, "status": status}
    return msgspec.convert(raw, WorkloadView)


def test_a_deployment_and_a_daemon_set() -> None:
    found = views.workload(kinds.DEPLOYMENT, workload({"replicas": 2}, {"readyReplicas": 1}))
    assert found == Workload(
        component="router",
        kind="Deployment",
        name="deis-router",
        version="1.2",
        image="deis/platform:1.2",
        wanted=2,
        ready=1,
    )
    daemon = workload({}, {"desiredNumberScheduled": 5, "numberReady": 4})
    found = views.workload(kinds.DAEMON_SET, daemon)
    assert (found.kind, found.wanted, found.ready) == ("DaemonSet", 5, 4)
