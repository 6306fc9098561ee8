"""What a cluster has beside Kubernetes itself: DNS, metrics and an image registry.

They run as programs of the node, not as pods, so that draining the node does not take them away.
A Service without selector and an EndpointSlice lead the pods to them.
"""

import json
from typing import Any

from integration.cluster.commands import run
from integration.cluster.control_plane import kubectl
from integration.cluster.layout import (
    DNS_SERVICE,
    METRICS_PORT,
    NODE_ADDRESS,
    REGISTRY_PORT,
)
from integration.cluster.programs import Programs

_METRICS_API = "v1beta1.metrics.k8s.io"


def start_dns(programs: Programs) -> None:
    """Names of the cluster; there is no other resolver, so other names do not exist."""
    layout = programs.layout
    corefile = layout.folder / "Corefile"
    corefile.write_text(
        f"""cluster.local in-addr.arpa {{
    bind {NODE_ADDRESS}
    errors
    cache 5
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {layout.kubeconfig()}
        ttl 5
    }}
}}
. {{
    bind {NODE_ADDRESS}
    template ANY ANY . {{
        rcode NXDOMAIN
    }}
}}
"""
    )
    programs.start("coredns", [programs.binaries / "coredns", "-conf", corefile])
    udp = {"name": "dns", "protocol": "UDP", "port": 53}
    tcp = {"name": "dns-tcp", "protocol": "TCP", "port": 53}
    _apply(programs, *_published("kube-dns", [udp, tcp], clusterIP=DNS_SERVICE))


def start_metrics(programs: Programs) -> None:
    """metrics-server; the kubelet's certificate is its own, so it is not checked."""
    layout = programs.layout
    kubeconfig = layout.kubeconfig()
    programs.start(
        "metrics-server",
        [
            programs.binaries / "metrics-server",
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            f"--bind-address={NODE_ADDRESS}",
            f"--secure-port={METRICS_PORT}",
            f"--cert-dir={layout.folder / 'metrics-pki'}",
            "--kubelet-insecure-tls",
            "--kubelet-preferred-address-types=InternalIP",
            "--kubelet-use-node-status-port",
            "--metric-resolution=10s",
            "--kubelet-request-timeout=5s",  # has to be shorter than the resolution
        ],
    )
    port = {"name": "https", "protocol": "TCP", "port": 443, "targetPort": METRICS_PORT}
    behind = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": _METRICS_API},
        "spec": {
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "service": {"name": "metrics-server", "namespace": "kube-system"},
            "insecureSkipTLSVerify": True,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    }
    _apply(programs, *_published("metrics-server", [port]), behind)


def start_registry(programs: Programs) -> None:
    """An image registry without passwords, by HTTP, at layout.REGISTRY for everybody."""
    folder = programs.layout.folder
    settings = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {
            "filesystem": {"rootdirectory": str(folder / "registry")},
            "delete": {"enabled": True},
        },
        "http": {"addr": f"0.0.0.0:{REGISTRY_PORT}"},
    }
    path = folder / "registry.yml"
    path.write_text(json.dumps(settings))
    programs.start("docker-registry", ["docker-registry", "serve", path])


def _published(name: str, ports: list[dict[str, Any]], **spec: Any) -> list[dict[str, Any]]:
    """A Service of kube-system that leads to a program of the node."""
    metadata = {"name": name, "namespace": "kube-system"}
    labels = {"kubernetes.io/service-name": name}
    # A slice names the port where the program listens, the Service the one that others ask for.
    behind = [
        {
            "name": one["name"],
            "protocol": one["protocol"],
            "port": one.get("targetPort", one["port"]),
        }
        for one in ports
    ]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata}
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**metadata, "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [NODE_ADDRESS]}],
        "ports": behind,
    }
    return [{**service, "spec": {**spec, "ports": ports}}, endpoints]


def _apply(programs: Programs, *objects: dict[str, Any]) -> None:
    several = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    argv = kubectl(programs.layout, programs.binaries, "apply", "--server-side", "-f", "-")
    run(*argv, text=json.dumps(several))
