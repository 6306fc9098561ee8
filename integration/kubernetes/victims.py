"""What tests kill on the cluster, by name; each comes back by itself."""

import json

from integration.cluster.node import Node
from integration.kubernetes.installed import NAMESPACE
from integration.kubernetes.platform import ClusterPlatform
from integration.kubernetes.waiting import until as wait
from integration.servers import until

POD_VICTIMS = (
    "deis-gateway",
    "deis-controller",
    "deis-builder",
    "deis-router",
    "deis-logger",
    "deis-log-shipper",
    "deis-nats",
    "deis-database",
)
BUILD_POD = "build pod"
BUILDS = "deis-builds"
IN_A_ROW = 25
"""Asked so often, some seconds go by: longer than a readiness check's period."""


async def kill(platform: ClusterPlatform, name: str) -> None:
    """SIGKILL: a pod without any grace."""
    namespace, selector = (
        (BUILDS, "heritage=deis") if name == BUILD_POD else (NAMESPACE, f"app={name}")
    )
    platform.node.kube(
        *("--namespace", namespace, "delete", "pod", "--selector", selector),
        *("--grace-period=0", "--force"),
    )


async def all_ready(platform: ClusterPlatform) -> None:
    """Wait until every component is ready again."""
    await until(lambda: ready(platform.node), "every component is ready again", 120)


def steady(node: Node) -> None:
    """Wait until the platform, where there is one, is ready and stays so: a kubelet that has just
    started takes pods for not ready until it has asked them again. Raises AssertionError."""
    in_a_row = 0

    def stays() -> bool:
        nonlocal in_a_row
        in_a_row = in_a_row + 1 if node.tries("get", "--raw=/readyz") and ready(node) else 0
        return in_a_row == IN_A_ROW

    wait(stays, "the platform is ready and stays so", 120)


def ready(node: Node) -> bool:
    """Whether every pod of the platform is ready, and none is missing."""
    kinds = "deployments,statefulsets,daemonsets"
    for workload in node.get("--namespace", NAMESPACE, kinds)["items"]:
        status, spec = workload["status"], workload["spec"]
        if workload["kind"] == "DaemonSet":
            wanted, there = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
        else:
            wanted, there = spec["replicas"], status.get("readyReplicas", 0)
        if there < wanted:
            return False
    return True


def containers(node: Node) -> dict[tuple[str, str], int]:
    """How often each container of the platform was started again; pods that are new have others."""
    return {
        (pod["metadata"]["uid"], one["name"]): one["restartCount"]
        for pod in node.get("--namespace", NAMESPACE, "pods")["items"]
        for one in pod["status"].get("containerStatuses", [])
        if one.get("state", {}).get("terminated") is None  # jobs are over
    }


def rows(platform: ClusterPlatform, query: str) -> list[dict[str, object]]:
    """What the platform's database says."""
    text = f"SELECT coalesce(json_agg(q), '[]') FROM ({query}) q"
    words = (
        "exec",
        "deis-database-0",
        "-c",
        "deis-database",
        "--",
        "psql",
        "-At",
        "-U",
        "postgres",
    )
    printed = platform.node.kube("--namespace", NAMESPACE, *words, "-d", "deis", "-c", text)
    found: list[dict[str, object]] = json.loads(printed)
    return found
