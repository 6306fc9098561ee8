"""The kinds of objects we handle, and where the API server keeps them."""

from typing import NamedTuple
from urllib.parse import quote

from deis_bus.errors import Refused


class Kind(NamedTuple):
    """One kind of object."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    def all_path(self, namespace: str = "") -> str:
        """Where all of them in a namespace are (empty: in all). Raises Refused as below."""
        root = "/api" if self.api_version == "v1" else "/apis"
        within = f"/namespaces/{_segment(namespace)}" if self.namespaced and namespace else ""
        return f"{root}/{self.api_version}{within}/{self.plural}"

    def path(self, namespace: str, name: str, subresource: str = "") -> str:
        """Where one object is, or a part of it.

        Raises Refused for a name that would lead elsewhere: without one a DELETE would mean all
        objects of the namespace.
        """
        if self.namespaced:
            _segment(namespace)
        path = f"{self.all_path(namespace)}/{_segment(name)}"
        return f"{path}/{subresource}" if subresource else path


def _segment(name: str) -> str:
    """Fit for a path: the API server itself refuses these names (`IsValidPathSegmentName`)."""
    if name in ("", ".", "..") or "/" in name or "%" in name:
        raise Refused(400, f"{name!r} is no name of an object", "invalid")
    return quote(name, safe="")


NAMESPACE = Kind("v1", "Namespace", "namespaces", namespaced=False)
NODE = Kind("v1", "Node", "nodes", namespaced=False)
POD = Kind("v1", "Pod", "pods")
SERVICE = Kind("v1", "Service", "services")
SECRET = Kind("v1", "Secret", "secrets")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
EVENT = Kind("v1", "Event", "events")
QUOTA = Kind("v1", "ResourceQuota", "resourcequotas")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
REPLICA_SET = Kind("apps/v1", "ReplicaSet", "replicasets")
STATEFUL_SET = Kind("apps/v1", "StatefulSet", "statefulsets")
DAEMON_SET = Kind("apps/v1", "DaemonSet", "daemonsets")
ENDPOINT_SLICE = Kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
AUTOSCALER = Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")

ALL = (
    NAMESPACE, NODE, POD, SERVICE, SECRET, CONFIG_MAP, EVENT, QUOTA, SERVICE_ACCOUNT, DEPLOYMENT,
    REPLICA_SET, STATEFUL_SET, DAEMON_SET, ENDPOINT_SLICE, NETWORK_POLICY, DISRUPTION_BUDGET,
    AUTOSCALER,
)  # fmt: skip
_BY_NAME = {(kind.api_version, kind.kind): kind for kind in ALL}


def of(obj: dict[str, object]) -> Kind:
    """The kind of an object. Raises KeyError for one that we do not handle."""
    return _BY_NAME[str(obj["apiVersion"]), str(obj["kind"])]
