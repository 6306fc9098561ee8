"""The kinds of objects we handle, and where the API server keeps them."""

from typing import NamedTuple
from urllib.parse import quote


class Kind(NamedTuple):
    """One kind of object."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The path of one object, or of all of them in a namespace (empty: in all)."""
        root = "/api" if self.api_version == "v1" else "/apis"
        words = [root, self.api_version]
        if self.namespaced and namespace:
            words += ["namespaces", quote(namespace, safe="")]
        words.append(self.plural)
        if name:
            words.append(quote(name, safe=""))
        if subresource:
            words.append(subresource)
        return "/".join(words)


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
