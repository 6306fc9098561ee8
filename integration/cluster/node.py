"""The node as tests see it: `running_node()`, and what a running node is made of."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from integration.cluster import containers, debian
from integration.cluster.binaries import programs as built_programs
from integration.cluster.cleanup import clean
from integration.cluster.commands import inside, run
from integration.cluster.errors import ClusterError
from integration.cluster.given import given
from integration.cluster.layout import (
    BASE_IMAGE,
    HOST_ADDRESS,
    NODE_ADDRESS,
    REGISTRY,
    Layout,
    node_layout,
)
from integration.cluster.locks import node_lock
from integration.cluster.programs import ROOT, Programs, ourselves
from integration.cluster.start import bring_up, parts
from integration.cluster.state import load

UP_SECONDS = 3 * 3600.0
"""How long a node stays that belongs to nobody; an owner's may stay longer."""
OWNED_SECONDS = 12 * 3600.0
_START_SECONDS = 2 * 3600.0
_PUSH_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Node:
    """A running node, ours or that of $KUBECONFIG."""

    kubeconfig: Path
    binaries: Path
    layout: Layout | None
    """None for a cluster that is not ours: what needs the node itself raises ClusterError."""
    registry: str = REGISTRY
    """host:port of the image registry, as kubelet, pods and tests name it."""
    base_image: str = BASE_IMAGE
    """An image with bash and Python that pods can run."""
    address: str = NODE_ADDRESS
    """Where NodePorts and host ports answer."""
    host_address: str = HOST_ADDRESS
    """Where pods reach what a test serves on 0.0.0.0."""
    prefix: str = ""
    """What stands before the names of images that we push, where the cluster is not ours."""
    plain: bool = True
    """Whether the registry speaks HTTP without TLS."""
    storage_class: str = ""
    """Of a cluster that is not ours; empty: its default one."""

    @property
    def kubectl(self) -> Path:
        """The program."""
        return self.binaries / "kubectl"

    @property
    def helm(self) -> Path:
        """The program; give it HELM_*_HOME of its own."""
        return self.binaries / "helm"

    @property
    def own(self) -> Layout:
        """The folder of our node. Raises ClusterError when the cluster is another."""
        if self.layout is None:
            raise ClusterError("this needs the node of integration/cluster, not that of KUBECONFIG")
        return self.layout

    def kube(self, *words: str | Path, text: str = "", seconds: float = 60.0) -> str:
        """What kubectl prints. Raises ClusterError when it ends with a fault."""
        env = os.environ | {"KUBECONFIG": str(self.kubeconfig)}
        return run(self.kubectl, *words, text=text, env=env, seconds=seconds).stdout

    def tries(self, *words: str | Path, seconds: float = 20.0) -> bool:
        """Whether kubectl ends well within `seconds`."""
        try:
            self.kube(*words, seconds=seconds)
        except ClusterError:
            return False
        return True

    def get(self, *words: str) -> dict[str, Any]:
        """`kubectl get` as an object."""
        found: dict[str, Any] = json.loads(self.kube("get", *words, "-o", "json"))
        return found

    def load_image(self, archive: Path) -> None:
        """Give the node every image of an OCI archive, under the names in it."""
        containers.load_image(self.own, archive)

    def push_image(self, archive: Path, name: str, credentials: str = "") -> str:
        """Put an OCI archive into the registry as `name` (path:tag); the name to pull it by.

        `credentials` is USER:PASSWORD.
        """
        target = f"{self.registry}/{name}"
        who = ["--dest-creds", credentials] if credentials else []
        tls = f"--dest-tls-verify={'false' if self.plain else 'true'}"
        options = ["--insecure-policy", "copy", tls, *who]
        run(
            "skopeo",
            *options,
            f"oci-archive:{archive}",
            f"docker://{target}",
            seconds=_PUSH_SECONDS,
        )
        return target

    def programs(self) -> Programs:
        """The node's programs, for tests that end one and start it again."""
        state = load(self.own)
        if state is None:
            raise ClusterError("the node is down")
        return Programs(self.own, self.binaries, state)

    def inside(self, *argv: str | Path) -> list[str | Path]:
        """The same program in the node's network."""
        return inside(self.own.net, argv)


def prepare() -> None:
    """Have everything that a node is made of; of a cluster that is there, only its clients.

    Raises ClusterError, also where that cluster cannot be used (given.py).
    """
    if os.environ.get("KUBECONFIG"):
        debian.install(_say)
        given(built_programs(_say) / "kubectl")
    else:
        parts(_say)


def _say(line: str) -> None:
    print(f"cluster: {line}", flush=True)


def up(owner: int | None = None, seconds: float | None = None) -> None:
    """Bring the node up unless it is; whoever finds one leaves its owner and its limit be."""
    if seconds is None:
        seconds = UP_SECONDS if owner is None else OWNED_SECONDS
    layout = node_layout()
    with node_lock():
        if not is_up(layout):
            bring_up(layout, owner=owner, seconds=seconds, say=_say)


def down() -> bool:
    """End the node; False when there was none."""
    with node_lock():
        return clean(node_layout())


def is_up(layout: Layout) -> bool:
    """Whether a node came up and was not ended; tests may have ended programs of it meanwhile."""
    state = load(layout)
    if state is None or not state.ready or state.watchdog is None:
        return False
    return state.watchdog.alive()  # not after a restart of the machine


@contextmanager
def running_node() -> Iterator[Node]:
    """The cluster of $KUBECONFIG, else the node that is up, else one for as long as this takes.

    A node that we start belongs to this process: it ends with it, however that ends. It is
    started by a process of its own, so none of its programs is our child. Raises ClusterError.
    """
    if os.environ.get("KUBECONFIG"):
        yield _given()
        return
    layout = node_layout()
    found = is_up(layout)
    if not found:
        _start_for(os.getpid())
    try:
        yield Node(layout.kubeconfig(), built_programs(), layout)
    finally:
        if not found:
            down()


def _given() -> Node:
    binaries = built_programs()
    told = given(binaries / "kubectl")
    return Node(
        told.kubeconfig,
        binaries,
        layout=None,
        registry=told.registry,
        address=told.address,
        host_address=told.host_address,
        prefix=told.prefix,
        plain=told.plain,
        storage_class=told.storage_class,
    )


def _start_for(owner: int) -> None:
    argv = [*ourselves("up"), "--owner", str(owner)]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    if subprocess.run(argv, env=env, timeout=_START_SECONDS, check=False).returncode:
        raise ClusterError("the test node did not come up; it said why above")
