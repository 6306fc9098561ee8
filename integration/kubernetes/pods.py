"""Small pods for tests, of the image that every node has: Python programs as objects."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from integration.cluster.node import Node

PORT = 8000
SERVE = ("python3", "-m", "http.server", str(PORT), "--directory", "/etc")


def pod(
    node: Node,
    name: str,
    command: Sequence[str],
    labels: Mapping[str, str] | None = None,
    **container: Any,
) -> dict[str, Any]:
    """A pod of one container; further fields of the container by name."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": dict(labels or {})},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {"name": "main", "image": node.base_image, "command": list(command), **container}
            ],
        },
    }


def server(node: Node, name: str, labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A pod that serves files over HTTP at PORT and is ready once it does."""
    probe = {"httpGet": {"path": "/hostname", "port": PORT}, "periodSeconds": 1}
    ports = [{"name": "web", "containerPort": PORT}]
    return pod(node, name, SERVE, labels, readinessProbe=probe, ports=ports)


def service(name: str, labels: Mapping[str, str], **spec: Any) -> dict[str, Any]:
    """A Service at port 80 in front of servers."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": dict(labels), "ports": [{"port": 80, "targetPort": PORT}], **spec},
    }


def apply(node: Node, namespace: str, *objects: Mapping[str, Any]) -> None:
    """Put objects into a namespace."""
    several = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    node.kube("-n", namespace, "apply", "-f", "-", text=json.dumps(several))


def wait_ready(node: Node, namespace: str, *names: str) -> None:
    """Until the pods are ready. Raises ClusterError after 60 s."""
    pods = [f"pod/{name}" for name in names]
    node.kube("-n", namespace, "wait", "--for=condition=Ready", "--timeout=60s", *pods, seconds=70)


def output(node: Node, namespace: str, name: str) -> str:
    """What a pod printed, once it has ended well. Raises ClusterError after 60 s."""
    ended = "--for=jsonpath={.status.phase}=Succeeded"
    node.kube("-n", namespace, "wait", ended, "--timeout=60s", f"pod/{name}", seconds=70)
    return node.kube("-n", namespace, "logs", name)


def answers(url: str) -> bool:
    """Whether something says 200 at a URL, within 3 s."""
    try:
        with urllib.request.urlopen(url, timeout=3) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as fault:
        fault.close()
        return False
    except OSError:
        return False
