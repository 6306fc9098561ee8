"""What the chart leaves on nodes, taken from those of a cluster that is not ours by a pod on each."""

import secrets
from pathlib import Path
from typing import Any

from integration.cluster.node import Node
from integration.kubernetes.pods import apply, output, pod

PROGRAM = """
import pathlib, shutil, sys
left = pathlib.Path(sys.argv[1])
shutil.rmtree(left, ignore_errors=True)
if left.parent.exists() and not any(left.parent.iterdir()):  # others may have theirs there
    left.parent.rmdir()
"""


def sweep(node: Node, folder: Path) -> None:
    """Remove that folder from every node that is ready, and the one above where it is empty then.

    Raises ClusterError.
    """
    namespace = f"test-sweep-{secrets.token_hex(3)}"
    names = [one["metadata"]["name"] for one in node.get("nodes")["items"] if is_ready(one)]
    sweepers = {f"sweep-{number}": name for number, name in enumerate(names)}
    node.kube("create", "namespace", namespace)
    try:
        apply(node, namespace, *(_sweeper(node, *one, folder) for one in sweepers.items()))
        for sweeper in sweepers:
            output(node, namespace, sweeper)
    finally:
        node.kube("delete", "namespace", namespace, "--wait=false")


def is_ready(one: dict[str, Any]) -> bool:
    """Whether pods can run on that node."""
    told = one["status"].get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in told)


def _sweeper(node: Node, name: str, where: str, folder: Path) -> dict[str, Any]:
    """Whatever the node's taints say: it is put there, not scheduled."""
    top = folder.parents[1]
    made = pod(
        node,
        name,
        ("python3", "-c", PROGRAM, str(folder)),
        securityContext={"runAsUser": 0},
        volumeMounts=[{"name": "top", "mountPath": str(top)}],
    )
    made["spec"] |= {
        "nodeName": where,
        "volumes": [{"name": "top", "hostPath": {"path": str(top)}}],
    }
    return made
