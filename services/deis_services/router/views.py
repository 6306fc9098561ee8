"""The fields of Kubernetes objects that the router looks at."""

import msgspec

from deis_platform.kubernetes import View


class ServicePort(msgspec.Struct, frozen=True, rename="camel"):
    """A port of a Service."""

    name: str = ""
    port: int = 0


class ServiceSpec(msgspec.Struct, frozen=True, rename="camel"):
    """Where a Service listens."""

    ports: tuple[ServicePort, ...] = ()
    cluster_ip: str = msgspec.field(default="", name="clusterIP")


class ServiceView(View, frozen=True, rename="camel"):
    """A Service."""

    spec: ServiceSpec = ServiceSpec()


class Conditions(msgspec.Struct, frozen=True, rename="camel"):
    """Of an endpoint; what is not said counts as ready and staying."""

    ready: bool = True
    terminating: bool = False


class Endpoint(msgspec.Struct, frozen=True, rename="camel"):
    """One instance."""

    addresses: tuple[str, ...] = ()
    conditions: Conditions = Conditions()


class EndpointPort(msgspec.Struct, frozen=True, rename="camel"):
    """The port that a Service's port leads to."""

    name: str = ""
    port: int = 0


class SliceView(View, frozen=True, rename="camel"):
    """An EndpointSlice."""

    address_type: str = "IPv4"
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


class SecretView(View, frozen=True, rename="camel"):
    """A Secret, its values in base64."""

    data: dict[str, str] = {}
