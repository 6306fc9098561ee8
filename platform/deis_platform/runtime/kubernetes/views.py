"""The fields of cluster objects that the runtime looks at; the rest is never kept.

A thousand applications are some six thousand of these, so words that come again and again are kept
once, and annotations and labels of others not at all.
"""

import sys

import msgspec

from deis_platform.kubernetes import Meta, Owner
from deis_platform.kubernetes import View as AnyView
from deis_platform.runtime.kubernetes import names

NOBODY: tuple[Owner, ...] = ()


class OurMeta(Meta, frozen=True, rename="camel"):
    """Metadata with what is ours of labels and annotations, and without owners."""

    def __post_init__(self) -> None:
        labels = {
            sys.intern(name): sys.intern(value)
            for name, value in self.labels.items()
            if name in names.OUR_LABELS
        }
        annotations = {
            sys.intern(name): value for name, value in self.annotations.items() if names.ours(name)
        }
        if uuid := annotations.get(names.UUID):
            annotations[names.UUID] = sys.intern(uuid)
        for field, value in (
            ("namespace", sys.intern(self.namespace)),
            ("labels", labels),
            ("annotations", annotations),
            ("owner_references", NOBODY),
        ):
            msgspec.structs.force_setattr(self, field, value)


class View(AnyView, frozen=True):
    """The metadata alone; the base of the others."""

    metadata: OurMeta = OurMeta()

    def uncounted(self) -> object:
        """Fields of ours whose changes the API server does not count in the generation."""
        return None


class Waiting(msgspec.Struct, frozen=True):
    """A container that does not run yet, or not again."""

    reason: str = ""
    message: str = ""


class Running(msgspec.Struct, frozen=True, rename="camel"):
    """A container that runs."""

    started_at: str = ""


class Terminated(msgspec.Struct, frozen=True, rename="camel"):
    """A container that has ended."""

    exit_code: int = 0
    reason: str = ""
    message: str = ""
    started_at: str = ""
    finished_at: str = ""


class State(msgspec.Struct, frozen=True):
    """Exactly one of the three, or none."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(msgspec.Struct, frozen=True, rename="camel"):
    """One container of a pod."""

    name: str = ""
    ready: bool = False
    restart_count: int = 0
    state: State = State()
    last_state: State = State()


class Condition(msgspec.Struct, frozen=True, rename="camel"):
    """An entry of `status.conditions`, of pods and Deployments alike."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


def _keep(status: "PodStatus | DeploymentStatus", type_: str, value: str) -> None:
    """Forget the conditions that are not told to anybody."""
    kept = tuple(one for one in status.conditions if (one.type, one.status) == (type_, value))
    msgspec.structs.force_setattr(status, "conditions", kept)


class PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    """How a pod is."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    start_time: str = ""
    conditions: tuple[Condition, ...] = ()
    """Only why no node was found."""
    container_statuses: tuple[ContainerStatus, ...] = ()

    def __post_init__(self) -> None:
        _keep(self, "PodScheduled", "False")


class SecretName(msgspec.Struct, frozen=True):
    """A Secret of the pod's own namespace."""

    name: str = ""


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    """Where a pod may run, and with which credentials its image is pulled."""

    node_selector: dict[str, str] = {}
    image_pull_secrets: tuple[SecretName, ...] = ()


class Pod(View, frozen=True, rename="camel"):
    """A pod."""

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class DeploymentSpec(msgspec.Struct, frozen=True):
    """What is wanted."""

    replicas: int = 0


class DeploymentStatus(msgspec.Struct, frozen=True, rename="camel"):
    """How far a Deployment is."""

    observed_generation: int = 0
    replicas: int = 0
    """Of every release, without those that end."""
    updated_replicas: int = 0
    available_replicas: int = 0
    conditions: tuple[Condition, ...] = ()
    """Only why pods cannot be made."""

    def __post_init__(self) -> None:
        _keep(self, "ReplicaFailure", "True")


class Deployment(View, frozen=True, rename="camel"):
    """A process type."""

    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()


class ServicePort(msgspec.Struct, frozen=True, rename="camel"):
    """A port of a Service."""

    port: int = 0
    target_port: int | str = 0


class ServiceSpec(msgspec.Struct, frozen=True):
    """Whom a Service leads to."""

    selector: dict[str, str] = {}
    ports: tuple[ServicePort, ...] = ()


class Service(View, frozen=True):
    """An application's Service."""

    spec: ServiceSpec = ServiceSpec()

    def uncounted(self) -> object:
        """Whom it leads to."""
        ports = [(port.port, port.target_port) for port in self.spec.ports]
        return [self.spec.selector, ports]


class Secret(View, frozen=True):
    """The metadata of a Secret."""

    def uncounted(self) -> object:
        """The version of one that may change; variables, which have a type, may not."""
        return None if names.TYPE in self.metadata.labels else self.metadata.resource_version


class Quota(View, frozen=True):
    """A ResourceQuota; what is used of it is not kept."""

    spec: dict[str, object] = {}

    def uncounted(self) -> object:
        """What it allows."""
        return self.spec


class NamespaceStatus(msgspec.Struct, frozen=True):
    """Active or Terminating."""

    phase: str = ""


class Namespace(View, frozen=True):
    """An application's namespace."""

    status: NamespaceStatus = NamespaceStatus()


class Involved(msgspec.Struct, frozen=True):
    """The object that an event is about."""

    name: str = ""


class Event(msgspec.Struct, frozen=True, rename="camel"):
    """What a component of the cluster told of an object."""

    involved_object: Involved = Involved()
    type: str = ""
    reason: str = ""
    message: str = ""
    last_timestamp: str | None = None
    event_time: str | None = None
