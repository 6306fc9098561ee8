"""Why pods do not become ready, in words for the user (api.md 24.3, 32 C1, C10). Pure."""

import datetime
import re
from collections.abc import Iterable, Mapping

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
NOT_READ_YET = "failed to sync "
"""So begins what kubelet says of a Secret that it did not get to read within a second; it tries
again (kubernetes/kubernetes#117972)."""
DENIED = re.compile("401|403|unauthori[sz]ed|authorization|denied|forbidden", re.IGNORECASE)
"""What a registry says to somebody without the right login."""
LOGIN_SECONDS = 20.0
"""How long such an answer may come of a pull without the pod's login: where kubelet did not get to
read that Secret within a second it pulls without, and again after 10 seconds."""
NO_PROGRAM = ("StartError", "ContainerCannotRun")
"""Ends of a container that never ran."""
NO_MATCH = "node affinity/selector"
"""What the scheduler says of nodes without the wanted labels."""
IMAGE_EVENTS = ("Failed", "InspectFailed", "ErrImageNeverPull")
LATE_EVENTS = ("Unhealthy", "FailedMount", "FailedAttachVolume", "FailedPostStartHook", "Failed")
"""What may have kept a pod from becoming ready in time (api.md 24.3)."""
CRASHES = 2
"""So many restarts while a release is rolled out, and it has failed."""
FORGOTTEN_SECONDS = 600.0
"""After so long kubelet, too, begins to count anew."""
PATIENCE_SECONDS = 10.0
"""How long a pod may find no node: an autoscaler, or a node that comes back, ends it."""
MAX_WORDS = 800
OLD = datetime.datetime.min.replace(tzinfo=datetime.UTC)


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
        if not status.ready and (words := _of_container(pod, status, now)):
            return words
    if pod.status.phase == "Failed":
        return f"{pod.metadata.name} failed: {pod.status.reason} {pod.status.message}".strip()
    return ""


def unschedulable(pod: views.Pod, now: datetime.datetime) -> str:
    """That no node takes it, once this lasts (the tags' words: api.md 8.4)."""
    for condition in pod.status.conditions:
        since = moment(condition.last_transition_time or "") or now
        if (now - since).total_seconds() >= PATIENCE_SECONDS:
            tags = pod.spec.node_selector
            why = f"{no_match(tags)} ({condition.message})"
            found = why if tags and NO_MATCH in condition.message else condition.message
            return f"{pod.metadata.name} finds no node: {found}"
    return ""


def no_match(tags: Mapping[str, str]) -> str:
    """The original's text for tags that no node has."""
    named = ", ".join(f"{name}={value}" for name, value in sorted(tags.items()))
    return f"No nodes matched the provided labels: {named}"


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
    if end.reason in NO_PROGRAM:
        return f"{name} cannot start: {end.reason}: {end.message}"
    return f"{name} ended with exit code {end.exit_code}"


def told(events: Iterable[views.Event], reasons: Iterable[str]) -> str:
    """The newest text of these reasons among a pod's events; of the first reason that has one."""
    found = list(events)
    for reason in reasons:
        if fitting := [one for one in found if one.reason == reason and not _bare(one.message)]:
            return max(fitting, key=when).message
    return ""


def _bare(message: str) -> bool:
    """Whether it names a state and no cause, as kubelet's `Error: ErrImagePull` does."""
    return not message or message.removeprefix("Error: ") in IMAGE + BROKEN


def latest(events: Iterable[views.Event], pod: str) -> str:
    """The reason of a pod's latest event (api.md 10.2); empty without one."""
    own = [event for event in events if event.involved_object.name == pod]
    return max(own, key=when).reason if own else ""


def explained(failure: str, pod: views.Pod | None, events: Iterable[views.Event]) -> str:
    """A failure with what the pod's events tell beyond it."""
    if pod is None:
        return failure
    pulling = any(
        status.state.waiting is not None and status.state.waiting.reason in IMAGE
        for status in pod.status.container_statuses
    )
    more = told(events, IMAGE_EVENTS if pulling else LATE_EVENTS)
    if not more or more in failure:
        return failure
    return f"{failure[:MAX_WORDS]}: {more}"[: 2 * MAX_WORDS]


def _of_container(pod: views.Pod, status: views.ContainerStatus, now: datetime.datetime) -> str:
    name, waiting = pod.metadata.name, status.state.waiting
    end = status.state.terminated or status.last_state.terminated
    if waiting is not None and waiting.reason in IMAGE + BROKEN:
        if _passes(pod, waiting, now):
            return ""
        lacks = "has no image" if waiting.reason in IMAGE else "cannot start"
        return f"{name} {lacks}: {waiting.reason}: {waiting.message}"
    crashing = waiting is not None and waiting.reason == "CrashLoopBackOff"
    often = status.restart_count >= CRASHES and end is not None and not _long_ago(end, now)
    if end is not None and (crashing or often):
        times = f"{status.restart_count + (status.state.terminated is not None)} times"
        return f"{ended(name, end)}, {times} in a row"
    if end is not None and end.reason == "OOMKilled":
        return ended(name, end)
    return ""


def _passes(pod: views.Pod, waiting: views.Waiting, now: datetime.datetime) -> bool:
    """Whether it may be only that kubelet did not get to read a Secret in time."""
    if waiting.reason in BROKEN:
        return waiting.message.startswith(NOT_READ_YET)
    if not pod.spec.image_pull_secrets or not DENIED.search(waiting.message):
        return False
    since = moment(pod.status.start_time) or now
    return (now - since).total_seconds() < LOGIN_SECONDS


def _long_ago(end: views.Terminated, now: datetime.datetime) -> bool:
    since = moment(end.finished_at)
    return since is not None and (now - since).total_seconds() > FORGOTTEN_SECONDS


def when(event: views.Event) -> datetime.datetime:
    """When it was seen last; old where it does not say."""
    return moment(event.last_timestamp or event.event_time or "") or OLD
