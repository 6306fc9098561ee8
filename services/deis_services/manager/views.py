"""The fields of workloads and pods that the manager looks at, and what it makes of them (pure)."""

import msgspec

from deis_bus.contracts.components import component_of
from deis_platform.kubernetes import View, kinds
from deis_platform.kubernetes.kinds import Kind
from deis_platform.runtime.kubernetes.views import ContainerStatus, PodStatus, Terminated
from deis_services.manager.model import PodState, Workload

VERSION = "component.deis.io/version"
BACK_OFF = "CrashLoopBackOff"
STARTING = frozenset({"", "ContainerCreating", "PodInitializing"})
"""Reasons to wait that are no trouble."""
PLAIN = frozenset({"", "Error", "Completed"})
"""Reasons of an end that say less than its exit code."""


class Container(msgspec.Struct, frozen=True):
    """A container of a template."""

    image: str = ""


class TemplateSpec(msgspec.Struct, frozen=True):
    """What pods are made of."""

    containers: tuple[Container, ...] = ()


class Template(msgspec.Struct, frozen=True):
    """A pod to be."""

    spec: TemplateSpec = TemplateSpec()


class Spec(msgspec.Struct, frozen=True):
    """What is wanted."""

    template: Template = Template()
    replicas: int = 1


class Status(msgspec.Struct, frozen=True, rename="camel"):
    """What is there: the first field of Deployments and StatefulSets, the others of DaemonSets."""

    ready_replicas: int = 0
    number_ready: int = 0
    desired_number_scheduled: int = 0


class WorkloadView(View, frozen=True):
    """A Deployment, StatefulSet or DaemonSet."""

    spec: Spec = Spec()
    status: Status = Status()


class StatusOfPod(PodStatus, frozen=True, rename="camel"):
    """With the containers that come before the others."""

    init_container_statuses: tuple[ContainerStatus, ...] = ()


class PodView(View, frozen=True):
    """A pod of a workload."""

    status: StatusOfPod = StatusOfPod()


def workload(kind: Kind, view: WorkloadView) -> Workload:
    """A workload as a value."""
    meta, status = view.metadata, view.status
    daemon = kind is kinds.DAEMON_SET
    images = [container.image for container in view.spec.template.spec.containers]
    return Workload(
        component=component_of(meta.name),
        kind=kind.kind,
        name=meta.name,
        version=meta.annotations.get(VERSION, ""),
        image=images[0] if images else "",
        wanted=status.desired_number_scheduled if daemon else view.spec.replicas,
        ready=status.number_ready if daemon else status.ready_replicas,
    )


def pod(view: PodView) -> PodState | None:
    """A pod as a value; None for one that belongs to nobody, or has ended for good."""
    app, status = view.metadata.labels.get("app", ""), view.status
    if not app or status.phase in ("Succeeded", "Failed"):
        return None
    containers = status.container_statuses
    both = (*status.init_container_statuses, *containers)
    waiting = [one.state.waiting.reason for one in both if one.state.waiting is not None]
    unplaced = [one.reason for one in status.conditions]
    ended = any(one.state.terminated is not None for one in containers)
    return PodState(
        component=component_of(app),
        name=view.metadata.name,
        ready=bool(containers) and all(one.ready for one in containers),
        restarts=sum(one.restart_count for one in both),
        crashing=BACK_OFF in waiting or (ended and not view.metadata.deletion_timestamp),
        reason=_reason(both),
        trouble=next((why for why in (*unplaced, *waiting) if why not in STARTING), ""),
    )


def _reason(statuses: tuple[ContainerStatus, ...]) -> str:
    """How a container ended last; of several, the one that was started again most often."""
    ends = [
        (one.restart_count, end)
        for one in statuses
        if (end := one.state.terminated or one.last_state.terminated) is not None
    ]
    return _words(max(ends, key=lambda pair: pair[0])[1]) if ends else ""


def _words(end: Terminated) -> str:
    return f"exit code {end.exit_code}" if end.reason in PLAIN else end.reason
