"""From mirrored objects to what the port tells: instances and status. Pure."""

import datetime
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from deis_bus.contracts.runtime import AppStatus, Instance
from deis_platform.runtime.kubernetes import fingerprint, names, views, words

HIDDEN = ("Succeeded", "Failed")


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the cluster holds of one application."""

    namespace: views.Namespace
    service: views.Service | None
    deployments: Sequence[views.Deployment]
    pods: Sequence[views.Pod]
    secrets: frozenset[str]
    """Names of its Secrets."""


def now() -> datetime.datetime:
    """The present moment."""
    return datetime.datetime.now(datetime.UTC)


def number(text: str) -> int:
    """A generation or release off an annotation; 0 for anything else."""
    return int(text) if text.isascii() and text.isdigit() else 0


def wanted(held: Held) -> dict[str, int]:
    """Counts by process type, as they were applied."""
    text = held.namespace.metadata.annotations.get(names.WANTED, "{}")
    try:
        return msgspec.json.decode(text, type=dict[str, int])
    except msgspec.MsgspecError:
        return {}


def status(held: Held, now: datetime.datetime, *, ignore_scheduling: bool = False) -> AppStatus:
    """How far the application is with the generation whose objects were all written."""
    marks = held.namespace.metadata.annotations
    generation = number(marks.get(names.GENERATION, ""))
    release = number(marks.get(names.RELEASE, ""))
    shown = instances(held.pods, now)
    counts = wanted(held)
    if not generation or not whole(held, counts, release):
        return AppStatus(generation=0, instances=shown)
    current = [pod for pod in held.pods if _of(pod, release) and not _leaving(pod)]
    ready = {kind: sum(_ready(pod) for pod in current if _type(pod) == kind) for kind in counts}
    done = all(_rolled_out(held.deployments, kind, count) for kind, count in counts.items())
    serving = done and all(ready[kind] >= count for kind, count in counts.items())
    others = len([pod for pod in held.pods if _type(pod) != names.RUN]) - len(current)
    failure = "" if serving else _failure(held, current, counts, now, ignore_scheduling)
    return AppStatus(
        generation=generation,
        release=release,
        ready=ready,
        settled=serving and not others and len(current) == sum(counts.values()),
        serving=serving,
        failure=failure,
        instances=shown,
    )


def whole(held: Held, counts: Mapping[str, int], release: int) -> bool:
    """Whether all of it is there as it was written; else it is to be applied again."""
    kinds = {deployment.metadata.labels.get(names.TYPE, "") for deployment in held.deployments}
    app = held.namespace.metadata.name
    return (
        held.service is not None
        and fingerprint.intact(held.service)
        and counts.keys() <= kinds
        and all(fingerprint.intact(deployment) for deployment in held.deployments)
        and (not counts or names.env_secret(app, release) in held.secrets)
    )


def instances(pods: Iterable[views.Pod], now: datetime.datetime) -> tuple[Instance, ...]:
    """What runs, newest first."""
    found = [instance(pod, now) for pod in pods if pod.status.phase not in HIDDEN]
    return tuple(sorted(found, key=lambda one: (one.started, one.name), reverse=True))


def instance(pod: views.Pod, now: datetime.datetime) -> Instance:
    """One pod as `ps` shows it (api.md 10.2)."""
    status = _container(pod)
    return Instance(
        name=pod.metadata.name,
        type=_type(pod),
        release=names.release_of(pod.metadata.labels),
        state=state_of(pod),
        started=pod.status.start_time or f"{now:%Y-%m-%dT%H:%M:%SZ}",
        address=pod.status.pod_ip,
        reason=words.of_pod(pod, now),
        restarts=status.restart_count if status else 0,
    )


def state_of(pod: views.Pod) -> str:
    """The table of api.md 10.2."""
    status = _container(pod)
    phase = pod.status.phase
    if phase in ("Succeeded", "Failed"):
        return "down" if phase == "Succeeded" else "crashed"
    if phase == "Pending":
        return _pending(status)
    if phase != "Running":
        return "error"
    if pod.metadata.deletion_timestamp:
        return "terminating"
    if status is None:
        return "initializing"
    if status.ready:
        return "up"
    if status.state.running is not None:
        return "starting"
    return "terminating" if status.state.terminated is not None else "error"


def begun(pod: views.Pod) -> bool:
    """Whether a container of it runs or has run."""
    return any(
        status.state.running is not None or status.state.terminated is not None
        for status in pod.status.container_statuses
    )


def terminated(pod: views.Pod) -> views.Terminated | None:
    """How its container ended; None while it has not."""
    ends = (status.state.terminated for status in pod.status.container_statuses)
    return next((end for end in ends if end is not None), None)


def deadline(held: Held) -> datetime.datetime | None:
    """When the release should be ready."""
    return words.moment(held.namespace.metadata.annotations.get(names.DEADLINE, ""))


def _failure(
    held: Held,
    current: Sequence[views.Pod],
    counts: Mapping[str, int],
    now: datetime.datetime,
    ignore_scheduling: bool,
) -> str:
    some = [one for one in held.deployments if counts.get(one.metadata.labels[names.TYPE], 0)]
    found = words.failure(current, some, now, ignore_scheduling=ignore_scheduling)
    until = deadline(held)
    if found or until is None or now < until:
        return found
    waiting = [pod.metadata.name for pod in current if not _ready(pod)]
    return f"not ready in time: {', '.join(sorted(waiting)[:3]) or 'nothing was started'}"


def _rolled_out(deployments: Sequence[views.Deployment], kind: str, count: int) -> bool:
    for deployment in deployments:
        if deployment.metadata.labels.get(names.TYPE) == kind:
            found = deployment.status
            seen = found.observed_generation >= deployment.metadata.generation
            return seen and found.updated_replicas == count <= found.available_replicas
    return not count


def _pending(status: views.ContainerStatus | None) -> str:
    if status is None or status.state.waiting is None:
        return "initializing"
    reason = status.state.waiting.reason
    return "creating" if reason == "ContainerCreating" else reason or "initializing"


def _container(pod: views.Pod) -> views.ContainerStatus | None:
    return pod.status.container_statuses[0] if pod.status.container_statuses else None


def _type(pod: views.Pod) -> str:
    return pod.metadata.labels.get(names.TYPE, "")


def _of(pod: views.Pod, release: int) -> bool:
    return _type(pod) != names.RUN and names.release_of(pod.metadata.labels) == release


def _leaving(pod: views.Pod) -> bool:
    return bool(pod.metadata.deletion_timestamp) or names.RETIRING in pod.metadata.labels


def _ready(pod: views.Pod) -> bool:
    return state_of(pod) == "up"
