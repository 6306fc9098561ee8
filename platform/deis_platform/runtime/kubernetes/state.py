"""From mirrored objects to what the port tells: instances and status. Pure."""

import datetime
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from deis_bus.contracts.runtime import AppStatus, Instance
from deis_platform.runtime.kubernetes import marks, names, views, words
from deis_platform.runtime.kubernetes.marks import Marks

HIDDEN = ("Succeeded", "Failed")
"""Phases that nothing comes out of. A pod that was put off its node stays so: of a Deployment's
pods it is none any more, another one is there in its place."""
SHOWN = 3
"""So many pods are named where a release is not ready in time."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the cluster holds of one application."""

    namespace: views.Namespace
    service: views.Service | None
    deployments: Sequence[views.Deployment]
    pods: Sequence[views.Pod]
    objects: Mapping[str, views.View]
    """Everything that is written for it, by kind and name (`key`)."""
    around: str
    """The surroundings as they are now (`marks.surroundings`)."""

    @property
    def marks(self) -> Marks:
        """What was written."""
        return marks.read(self.namespace.metadata.annotations)


def key(kind: str, name: str) -> str:
    """How an object is found among all of its application."""
    return f"{kind}/{name}"


def now() -> datetime.datetime:
    """The present moment."""
    return datetime.datetime.now(datetime.UTC)


def generation(held: Held) -> int:
    """The one whose objects are all there as they were written; 0: it is to be applied again."""
    written = held.marks
    return written.generation if whole(held, written) else 0


def status(held: Held, now: datetime.datetime, *, ignore_scheduling: bool = False) -> AppStatus:
    """How far the application is with the generation whose objects were all written."""
    written = held.marks
    shown = instances(held.pods, now)
    if not written.generation or not whole(held, written):
        return AppStatus(generation=0, instances=shown)
    counts = written.counts
    current = of_release(held, written.release)
    ready = {kind: sum(_ready(pod) for pod in current if _type(pod) == kind) for kind in counts}
    done = all(_rolled_out(held.deployments, kind, count) for kind, count in counts.items())
    serving = done and all(ready[kind] >= count for kind, count in counts.items())
    others = sum(_counts(pod) for pod in held.pods) - len(current)
    failure = "" if serving else _failure(held, current, written, now, ignore_scheduling)
    return AppStatus(
        generation=written.generation,
        release=written.release,
        ready=ready,
        settled=serving and not others and len(current) == sum(counts.values()),
        serving=serving,
        failure=failure,
        instances=shown,
    )


def whole(held: Held, written: Marks) -> bool:
    """Whether all of it is there as it was written, fits the surroundings, and no Deployment is
    beside it."""
    there = held.objects
    return (
        held.around in ("", written.around)
        and all(name in there and marks.word(there[name]) == word
                for name, word in written.objects.items())
        and all(key("Deployment", one.metadata.name) in written.objects
                for one in held.deployments)
    )  # fmt: skip


def of_release(held: Held, release: int) -> list[views.Pod]:
    """Pods of that release that stay."""
    return [
        pod
        for pod in held.pods
        if _counts(pod) and names.release_of(pod.metadata.labels) == release and not leaving(pod)
    ]


def late(current: Iterable[views.Pod], failure: str = "") -> views.Pod | None:
    """One of these pods that is not ready: whose events tell why. One that the failure names if
    there is any, of several the newest one."""
    waiting = [pod for pod in current if not _ready(pod)]
    named = [pod for pod in waiting if pod.metadata.name in failure]
    return max(named or waiting, key=lambda pod: pod.metadata.creation_timestamp, default=None)


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
    """The table of api.md 10.2, but for what only events tell."""
    status = _container(pod)
    phase = pod.status.phase
    if phase in HIDDEN:
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


def started(pod: views.Pod) -> datetime.datetime | None:
    """When its container began; None before that."""
    for status in pod.status.container_statuses:
        now, end = status.state.running, status.state.terminated
        if now is not None or end is not None:
            return words.moment(now.started_at if now else end.started_at if end else "")
    return None


def terminated(pod: views.Pod) -> views.Terminated | None:
    """How its container ended; None while it has not."""
    ends = (status.state.terminated for status in pod.status.container_statuses)
    return next((end for end in ends if end is not None), None)


def ended(pod: views.Pod) -> datetime.datetime | None:
    """When a pod that is not started again ended; None while it has not.

    One that was put off its node may have no container that tells.
    """
    if pod.status.phase not in HIDDEN:
        return None
    end = terminated(pod)
    told = end.finished_at if end else ""
    return words.moment(told or pod.status.start_time or pod.metadata.creation_timestamp)


def leaving(pod: views.Pod) -> bool:
    """Whether it is being deleted, or is once another one is ready."""
    return bool(pod.metadata.deletion_timestamp) or names.RETIRING in pod.metadata.labels


def _failure(
    held: Held,
    current: Sequence[views.Pod],
    written: Marks,
    now: datetime.datetime,
    ignore_scheduling: bool,
) -> str:
    short = [one for one in held.deployments if _lacks_pods(one, current, written.counts)]
    found = words.failure(current, short, now, ignore_scheduling=ignore_scheduling)
    if found or written.deadline is None or now < written.deadline:
        return found
    waiting = sorted(pod.metadata.name for pod in current if not _ready(pod))
    told = ", ".join(waiting[:SHOWN]) or _put_off(held, written.release, now)
    return f"not ready in time: {told or 'nothing was started'}"


def _put_off(held: Held, release: int, now: datetime.datetime) -> str:
    """How the newest pod of that release ended that did not end by itself; empty without one."""
    failed = [
        pod
        for pod in held.pods
        if pod.status.phase == "Failed"
        and _type(pod) != names.RUN
        and names.release_of(pod.metadata.labels) == release
    ]
    newest = max(failed, key=lambda pod: pod.metadata.creation_timestamp, default=None)
    return words.of_pod(newest, now) if newest else ""


def _lacks_pods(
    deployment: views.Deployment, current: Sequence[views.Pod], counts: Mapping[str, int]
) -> bool:
    """Whether it has seen its present spec and has still fewer pods than wanted: then its
    conditions are of now, not of the release before."""
    kind = _type(deployment)
    there = sum(_type(pod) == kind for pod in current)
    return _seen(deployment) and there < counts.get(kind, 0)


def _rolled_out(deployments: Sequence[views.Deployment], kind: str, count: int) -> bool:
    for deployment in deployments:
        if _type(deployment) == kind:
            found = deployment.status
            new = found.replicas == found.updated_replicas == count  # else an old one serves, too
            return _seen(deployment) and new and count <= found.available_replicas
    return not count


def _seen(deployment: views.Deployment) -> bool:
    return deployment.status.observed_generation >= deployment.metadata.generation


def _pending(status: views.ContainerStatus | None) -> str:
    if status is None or status.state.waiting is None:
        return "initializing"
    reason = status.state.waiting.reason
    return "creating" if reason == "ContainerCreating" else reason or "initializing"


def _container(pod: views.Pod) -> views.ContainerStatus | None:
    """The application's, where something of the cluster has put others beside it."""
    found = pod.status.container_statuses
    if len(found) > 1:
        own = names.deployment(pod.metadata.namespace, _type(pod))
        return next((status for status in found if status.name == own), found[0])
    return found[0] if found else None


def _type(view: views.View) -> str:
    return view.metadata.labels.get(names.TYPE, "")


def _counts(pod: views.Pod) -> bool:
    """Whether it is one of a process type's instances, or will be."""
    return _type(pod) != names.RUN and pod.status.phase not in HIDDEN


def _ready(pod: views.Pod) -> bool:
    return state_of(pod) == "up"
