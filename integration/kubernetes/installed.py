"""The chart, installed on the node from images of this tree; and taken away again."""

import contextlib
import hashlib
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deis_platform.runtime.kubernetes.names import PLATFORM
from integration.cluster import containers
from integration.cluster.commands import run
from integration.cluster.errors import ClusterError
from integration.cluster.image import base_image
from integration.cluster.layout import BASE_IMAGE, Layout, cache
from integration.cluster.locks import locked
from integration.cluster.node import Node
from integration.kubernetes.sweep import sweep
from integration.kubernetes.waiting import until

HOUSE = Path(__file__).resolve().parents[2]
CHART = HOUSE / "charts" / "workflow"
RELEASE, NAMESPACE = "workflow", "deis"
NAMESPACES = (NAMESPACE, "deis-builds", "deis-certificates")
PREFIX = "localhost/deis"
NAMES = ("platform", "stack", "postgres", "objects")
SOURCES = ("bus", "platform", "services", "cli", "images", "scripts/images.py", "pyproject.toml")
POSITIONS = Path("/var/lib/deis")
"""Where log shippers keep how far they have read, on the node."""
STORAGE_CLASS = "deis-test"
VOLUMES = ("one", "two", "three")
DOMAIN = "deis.test"
BUILD_SECONDS = 900.0
READY_SECONDS = 180.0
BALANCER_SECONDS = 300.0
"""Until a cloud has made a load balancer; the test node's is there at once."""


def images(node: Node) -> tuple[str, str]:
    """Images of this tree, where the cluster finds them; their prefix and tag.

    DEIS_TEST_IMAGES=PREFIX:TAG names images that are there already.
    """
    if given := os.environ.get("DEIS_TEST_IMAGES"):
        prefix, _, tag = given.rpartition(":")
        return prefix, tag
    tag = digest()
    with locked(cache() / "images.lock"):
        archives = _archives(tag)
        if node.layout is None:
            path = node.prefix.partition("/")[2]
            for name in NAMES:
                node.push_image(archives / f"{name}.tar", f"{path}/{name}:{tag}")
            return node.prefix, tag
        have = run(*containers.ctr(node.own, "images", "ls", "-q")).stdout.split()
        for name in NAMES:
            if f"{PREFIX}/{name}:{tag}" not in have:
                node.load_image(archives / f"{name}.tar")
    return PREFIX, tag


def _archives(tag: str) -> Path:
    """The folder with an archive of each image; they are built when they are not there."""
    folder = cache() / "images"
    if not (folder / tag).exists():
        shutil.rmtree(folder, ignore_errors=True)
        build(folder / f"{tag}.part", tag)
        (folder / f"{tag}.part").rename(folder / tag)
    return folder / tag


def digest() -> str:
    """A name for what the images are made of."""
    found = hashlib.sha256()
    for source in SOURCES:
        top = HOUSE / source
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                found.update(f"{path.relative_to(HOUSE)}\0{path.stat().st_mode & 0o100}\0".encode())
                found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:12]


def build(output: Path, tag: str) -> None:
    """Build all images into archives, on the base that the node is made of."""
    run("buildah", "pull", "--quiet", f"oci-archive:{base_image(_say)}", seconds=BUILD_SECONDS)
    words = ["--builder", "buildah", "--base", BASE_IMAGE, "--tag", tag, "--output", str(output)]
    run(sys.executable, HOUSE / "scripts" / "images.py", *words, seconds=BUILD_SECONDS)
    # Layers that this build has used again stay, those of older trees go.
    kept = run("buildah", "images", "--format", "{{.Name}}:{{.Tag}}").stdout.split()
    old = [one for one in kept if one.startswith(f"{PREFIX}/") and not one.endswith(f":{tag}")]
    if old:
        run("buildah", "rmi", *old, check=False, seconds=BUILD_SECONDS)


def _say(line: str) -> None:
    print(line, flush=True)


@dataclass(frozen=True, slots=True)
class Installation:
    """The release on a cluster."""

    node: Node
    folder: Path
    """For helm's own files, and the values."""
    values: dict[str, Any]

    def helm(self, *words: str | Path, seconds: float = 300.0) -> str:
        """What helm prints. Raises ClusterError when it ends with a fault."""
        homes = {
            f"HELM_{kind}_HOME": str(self.folder / "helm") for kind in ("CACHE", "CONFIG", "DATA")
        }
        env = os.environ | homes | {"KUBECONFIG": str(self.node.kubeconfig)}
        return run(
            self.node.helm, "--namespace", NAMESPACE, *words, env=env, seconds=seconds
        ).stdout

    def apply(self, *words: str, values: dict[str, Any] | None = None) -> str:
        """Install or upgrade with our values and some more (merged on top, by key)."""
        file = self.folder / "values.json"
        file.write_text(json.dumps(merged(self.values, values or {})))
        limit = f"{READY_SECONDS:g}s"
        return self.helm(
            "upgrade", "--install", RELEASE, CHART, "--create-namespace", "--values", file,
            "--wait", "--timeout", limit, *words,
        )  # fmt: skip

    def uninstall(self) -> None:
        """Remove the release; what stays is told in docs/kubernetes-uninstall.md."""
        self.helm("uninstall", RELEASE, "--wait", "--timeout", "120s", "--ignore-not-found")

    def get(self, *words: str) -> dict[str, Any]:
        """`kubectl get` in the platform's namespace."""
        return self.node.get("--namespace", NAMESPACE, *words)

    def pods(self, app: str = "") -> dict[str, dict[str, Any]]:
        """Pods of the platform by name, without those that are going away."""
        chosen = ["--selector", f"app={app}"] if app else ["--selector", "heritage=deis"]
        return {
            pod["metadata"]["name"]: pod
            for pod in self.get("pods", *chosen)["items"]
            if "deletionTimestamp" not in pod["metadata"]
        }

    def address(self) -> str:
        """The router's address, as the load balancer has it."""
        found: list[str] = []

        def known() -> bool:
            status = self.get("service", "deis-router")["status"]["loadBalancer"]
            found[:] = [addressed(one) for one in status.get("ingress", [])]
            return bool(found)

        until(known, "an address of the router", BALANCER_SECONDS)
        return found[0]


def addressed(ingress: dict[str, Any]) -> str:
    """The address of a load balancer; some clouds tell its name."""
    return str(ingress.get("ip") or socket.gethostbyname(ingress["hostname"]))


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Two trees of values; the second wins."""
    both = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            both[key] = merged(below[key], above[key])
    return both


def small_values(node: Node, prefix: str, tag: str) -> dict[str, Any]:
    """Values for one node: one replica each, little memory, volumes of ours."""
    storage = {
        "storageClass": STORAGE_CLASS if node.layout else node.storage_class,
        "size": "2Gi",
    }
    return {
        "images": {"prefix": prefix, "tag": tag},
        "platformDomain": DOMAIN,
        "registrationMode": "enabled",
        **{name: {"replicas": 1} for name in ("gateway", "controller", "router")},
        "nats": {"storage": storage},
        "database": {"storage": storage},
        "objects": {"inCluster": {"storage": storage}},
        "builds": {"egress": {"deny": [f"{node.address}/32"]}},
    }


@contextmanager
def installed(
    folder: Path, node: Node, values: dict[str, Any] | None = None
) -> Iterator[Installation]:
    """The platform, ready; at the end nothing of it is left.

    Raises ClusterError where a cluster that is not ours has one already: it would be removed.
    """
    prefix, tag = images(node)
    chosen = merged(small_values(node, prefix, tag), values or {})
    installation = Installation(node, folder, chosen)
    if node.layout is None:
        check_free(node)
    else:
        wipe(installation)
    make_volumes(node)
    try:
        installation.apply()
        yield installation
    finally:
        wipe(installation)


def check_free(node: Node) -> None:
    """Raises ClusterError where the cluster has a platform of that name, or applications of one."""
    taken = [
        one["metadata"]["name"]
        for one in node.get("namespaces")["items"]
        if one["metadata"]["name"] in NAMESPACES
        or one["metadata"].get("labels", {}).get(PLATFORM) == NAMESPACE
    ]
    if taken:
        raise ClusterError(
            f"the cluster of KUBECONFIG has the namespace {', '.join(taken)}: the tests install the"
            " platform there and remove it and its applications, so remove it first if it is not"
            " needed"
        )


def wipe(installation: Installation) -> None:
    """Remove the release, its namespaces and volumes, and what an earlier run left."""
    node = installation.node
    if NAMESPACE in node.kube("get", "namespaces", "-o", "name"):
        installation.uninstall()
    node.kube(
        "delete", "namespace", *NAMESPACES, "--ignore-not-found", "--timeout=120s", seconds=130
    )
    if node.layout:
        node.kube("delete", "pv", "--selector", f"test={STORAGE_CLASS}", "--ignore-not-found")
        node.kube("delete", "storageclass", STORAGE_CLASS, "--ignore-not-found")
        shutil.rmtree(volumes(node.layout), ignore_errors=True)
        shutil.rmtree(POSITIONS / NAMESPACE, ignore_errors=True)
        with contextlib.suppress(OSError):  # others may have theirs there
            POSITIONS.rmdir()
    else:
        node.kube("delete", "namespace", "-l", f"{PLATFORM}={NAMESPACE}", "--wait=false")
        sweep(node, POSITIONS / NAMESPACE)


def volumes(layout: Layout) -> Path:
    """Where the node keeps our volumes."""
    return layout.folder / "volumes"


def make_volumes(node: Node) -> None:
    """A storage class with as many volumes as the chart claims, on our node."""
    if node.layout is None:
        return
    objects: list[dict[str, Any]] = [
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": STORAGE_CLASS},
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
        }
    ]
    for name in VOLUMES:
        place = volumes(node.layout) / name
        place.mkdir(parents=True)
        objects.append(_volume(name, place))
    node.kube(
        "apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    )


def _volume(name: str, place: Path) -> dict[str, Any]:
    node1 = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node1"]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{STORAGE_CLASS}-{name}", "labels": {"test": STORAGE_CLASS}},
        "spec": {
            "capacity": {"storage": "2Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": STORAGE_CLASS,
            "local": {"path": str(place)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [node1]}]}},
        },
    }
