"""What each service account of the chart may do, and nothing else (docs/kubernetes-security.md)."""

READ = ("get", "list", "watch")
KEEP = (*READ, "create", "patch")
WRITE = (*KEEP, "delete")
ANYWHERE = ""

Grant = tuple[str, str, tuple[str, ...], tuple[str, ...]]
"""Namespace, resource with its group, names (none: all of them), verbs."""

RIGHTS: dict[str, tuple[Grant, ...]] = {
    "deis-gateway": (),
    "default": (),
    "deis-controller": (
        (ANYWHERE, "namespaces", (), WRITE),
        (ANYWHERE, "services", (), KEEP),
        (ANYWHERE, "secrets", (), WRITE),
        (ANYWHERE, "resourcequotas", (), WRITE),
        (ANYWHERE, "pods", (), WRITE),
        (ANYWHERE, "pods/log", (), ("get",)),
        (ANYWHERE, "pods/attach", (), ("get", "create")),
        (ANYWHERE, "nodes", (), READ),
        (ANYWHERE, "events", (), ("list",)),
        (ANYWHERE, "deployments.apps", (), WRITE),
        (ANYWHERE, "replicasets.apps", (), ("list",)),
        (ANYWHERE, "poddisruptionbudgets.policy", (), WRITE),
        (ANYWHERE, "networkpolicies.networking.k8s.io", (), KEEP),
        ("default", "endpointslices.discovery.k8s.io", (), READ),
    ),
    "deis-builder": (
        ("deis-builds", "pods", (), WRITE),
        ("deis-builds", "secrets", (), WRITE),
        ("deis-builds", "pods/log", (), ("get",)),
        ("deis-builds", "events", (), ("list",)),
    ),
    "deis-router": (
        (ANYWHERE, "services", (), READ),
        (ANYWHERE, "endpointslices.discovery.k8s.io", (), READ),
        ("deis-certificates", "secrets", (), READ),
        ("deis", "secrets", ("deis-router-platform-cert", "deis-router-dhparam"), READ),
        ("deis", "deployments.apps", ("deis-router",), READ),
    ),
    "deis-log-shipper": (
        (ANYWHERE, "pods", (), READ),
        (ANYWHERE, "namespaces", (), READ),
    ),
    "deis-workflow-manager": (
        ("deis", "deployments.apps", (), READ),
        ("deis", "daemonsets.apps", (), READ),
        ("deis", "statefulsets.apps", (), READ),
        ("deis", "pods", (), READ),
        ("deis", "events", (), ("create", "patch")),
        ("deis", "events.events.k8s.io", (), ("create", "patch")),
    ),
}
"""By account. A right anywhere is one in each namespace too."""
