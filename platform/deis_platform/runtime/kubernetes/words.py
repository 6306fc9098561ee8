"""Why pods do not become ready, in words for the user (api.md 24.3, 32 C1, C10). Pure."""

import datetime
from collections.abc import Iterable, Sequence

from deis_platform.runtime.kubernetes import views

IMAGE = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ErrImageInspect",
    "RegistryUnavailable",
)
BROKEN = (
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "PreCreateHookError",
    "PostStartHookError",
    "StartError",
    "ContainerCannotRun",
)
BACK_OFF = "Back-off pulling image"
CRASHES = 2
"""So many restarts while a release is rolled out, and it has failed."""
PATIENCE_SECONDS = 10.0
"""How long a pod may find no node: an autoscaler, or a node that comes back, ends it."""
MAX_WORDS = 800


def failure(
    pods: Iterable[views.Pod],
    deployments: Iterable[views.Deployment],
    now: datetime.datetime,
    *,
    ignore_scheduling: bool = False,
) -> str:
    """Why this rollout will not succeed; empty while it still may."""
    for deployment in deployments:
        for condition in deployment.status.conditions:
            if condition.type == "ReplicaFailure" and condition.status == "True":
                return condition.message[:MAX_WORDS]
    for pod in pods:
        if words := of_pod(pod, now, ignore_scheduling=ignore_scheduling):
            return words[:MAX_WORDS]
    return ""


def of_pod(pod: views.Pod, now: datetime.datetime, *, ignore_scheduling: bool = False) -> str:
    """Why this pod will not become ready; empty while it still may."""
    if not ignore_scheduling and (words := unschedulable(pod, now)):
        return words
    for status in pod.status.container_statuses:
        if not status.ready and (words := _of_container(pod.metadata.name, status)):
            return words
    if pod.status.phase == "Failed":
        return f"{pod.metadata.name} failed: {pod.status.reason} {pod.status.message}".strip()
    return ""


def unschedulable(pod: views.Pod, now: datetime.datetime) -> str:
    """That no node takes it, once this lasts."""
    for condition in pod.status.conditions:
        if condition.type != "PodScheduled" or condition.status != "False":
            continue
        since = moment(condition.last_transition_time or "") or now
        if (now - since).total_seconds() >= PATIENCE_SECONDS:
            return f"{pod.metadata.name} finds no node: {condition.message}"
    return ""


def moment(text: str) -> datetime.datetime | None:
    """An RFC 3339 time of the API server; None for what is none."""
    try:
        return datetime.datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def ended(name: str, end: views.Terminated) -> str:
    """How a container ended."""
    if end.reason == "OOMKilled":
        return f"{name} was killed: it used more memory than its limit (OOMKilled)"
    return f"{name} ended with exit code {end.exit_code}"


def told(events: Sequence[views.Event], *reasons: str) -> str:
    """The newest text of these reasons among a pod's events."""
    fitting = [event for event in events if event.reason in reasons and event.message]
    return max(fitting, key=_when).message[:MAX_WORDS] if fitting else ""


def _of_container(pod: str, status: views.ContainerStatus) -> str:
    waiting = status.state.waiting
    end = status.state.terminated or status.last_state.terminated
    if waiting is not None and waiting.reason in IMAGE:
        return f"{pod} has no image: {waiting.reason}: {waiting.message}"
    if waiting is not None and waiting.reason in BROKEN:
        return f"{pod} cannot start: {waiting.reason}: {waiting.message}"
    crashing = waiting is not None and waiting.reason == "CrashLoopBackOff"
    if end is not None and (crashing or status.restart_count >= CRASHES):
        times = f"{status.restart_count + (status.state.terminated is not None)} times"
        return f"{ended(pod, end)}, {times} in a row"
    if end is not None and end.reason == "OOMKilled":
        return ended(pod, end)
    return ""


def _when(event: views.Event) -> str:
    return event.last_timestamp or event.event_time or ""
