"""The fields of cluster objects that the runtime looks at; the rest is never kept."""

import msgspec

from deis_platform.kubernetes import View


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


class PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    """How a pod is."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    start_time: str = ""
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(View, frozen=True, rename="camel"):
    """A pod."""

    status: PodStatus = PodStatus()


class Container(msgspec.Struct, frozen=True, rename="camel"):
    """What a Deployment starts."""

    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()


class PodSpec(msgspec.Struct, frozen=True):
    """The containers of a template."""

    containers: tuple[Container, ...] = ()


class Template(View, frozen=True):
    """A template of pods."""

    spec: PodSpec = PodSpec()


class DeploymentSpec(msgspec.Struct, frozen=True):
    """What is wanted."""

    replicas: int = 0
    template: Template = Template()


class DeploymentStatus(msgspec.Struct, frozen=True, rename="camel"):
    """How far a Deployment is."""

    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0
    conditions: tuple[Condition, ...] = ()


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


class NamespaceStatus(msgspec.Struct, frozen=True):
    """Active or Terminating."""

    phase: str = ""


class Namespace(View, frozen=True):
    """An application's namespace."""

    status: NamespaceStatus = NamespaceStatus()


class Event(msgspec.Struct, frozen=True, rename="camel"):
    """What a component of the cluster told of an object."""

    type: str = ""
    reason: str = ""
    message: str = ""
    last_timestamp: str | None = None
    event_time: str | None = None
