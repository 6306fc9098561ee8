"""The cluster of $KUBECONFIG, which belongs to somebody else: what the tests need to know of it.

KUBECONFIG                one file, whose user may do everything there
DEIS_TEST_PREFIX          where images are pushed and the cluster pulls them from, as
                          registry.example.com/deis; http://… for a registry without TLS
DEIS_TEST_IMAGES          instead: PREFIX:TAG of images that are there already
DEIS_TEST_HOST            this machine's address for pods; else the one that leads to the API
                          server
DEIS_TEST_STORAGE_CLASS   else the cluster's default class
"""

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from integration.cluster.commands import run
from integration.cluster.errors import ClusterError

PLAIN = "http://"
_SECONDS = 20.0
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


@dataclass(frozen=True, slots=True)
class Given:
    """What was told, and what the cluster says."""

    kubeconfig: Path
    prefix: str
    """What stands before the names of images; its first part is the registry."""
    plain: bool
    """Whether the registry speaks HTTP without TLS."""
    address: str
    """Of one of its nodes."""
    host_address: str
    storage_class: str
    """Empty: the default one."""

    @property
    def registry(self) -> str:
        """host:port."""
        return self.prefix.partition("/")[0]


def given(kubectl: Path, env: Mapping[str, str] = os.environ) -> Given:
    """The cluster, asked. Raises ClusterError with one sentence that says what is missing."""
    kubeconfig = config_file(env["KUBECONFIG"])
    prefix = image_prefix(env)
    ask = Asked(kubectl, kubeconfig)
    try:
        allowed = ask.says("auth", "can-i", "*", "*", "--all-namespaces")
    except ClusterError as fault:
        last = str(fault).splitlines()[-1]
        raise ClusterError(
            f"the cluster of KUBECONFIG={kubeconfig} does not answer: {last}"
        ) from None
    if allowed != "yes":
        raise ClusterError(
            f"the user of KUBECONFIG={kubeconfig} may not do everything there, as the chart needs"
        )
    return Given(
        kubeconfig,
        prefix,
        plain=env.get("DEIS_TEST_PREFIX", "").startswith(PLAIN),
        address=node_address(ask.lists("nodes")),
        host_address=env.get("DEIS_TEST_HOST") or own_address(ask.server()),
        storage_class=storage_class(env, ask.lists("storageclasses")),
    )


class Asked:
    """kubectl on that cluster."""

    def __init__(self, kubectl: Path, kubeconfig: Path) -> None:
        self._kubectl = kubectl
        self._env = os.environ | {"KUBECONFIG": str(kubeconfig)}

    def says(self, *words: str) -> str:
        """Its output; `auth can-i` tells a no by its exit code too. Raises ClusterError."""
        limit = f"--request-timeout={_SECONDS:g}s"
        done = run(self._kubectl, *words, limit, env=self._env, seconds=2 * _SECONDS, check=False)
        if done.returncode and not done.stdout.strip():
            raise ClusterError(done.stderr.strip() or f"kubectl ended with {done.returncode}")
        return done.stdout.strip()

    def lists(self, kind: str) -> list[dict[str, Any]]:
        """All objects of a kind."""
        found: list[dict[str, Any]] = json.loads(self.says("get", kind, "-o", "json"))["items"]
        return found

    def server(self) -> str:
        """URL of the API server."""
        return self.says(
            "config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"
        )


def config_file(told: str) -> Path:
    """The one file that KUBECONFIG names. Raises ClusterError."""
    path = Path(told).absolute()
    if not path.is_file():
        raise ClusterError(f"KUBECONFIG={told} is no file: it has to name one")
    return path


def image_prefix(env: Mapping[str, str]) -> str:
    """What stands before the names of images, without a scheme. Raises ClusterError."""
    ready = env.get("DEIS_TEST_IMAGES", "").rpartition(":")[0]
    prefix = (ready or env.get("DEIS_TEST_PREFIX", "").removeprefix(PLAIN)).strip("/")
    if "/" not in prefix:
        raise ClusterError(
            "with KUBECONFIG set, DEIS_TEST_PREFIX has to name where images are pushed and the"
            " cluster pulls them from (registry.example.com/deis; http://… without TLS), or"
            " DEIS_TEST_IMAGES images that are there (PREFIX:TAG)"
        )
    return prefix


def node_address(nodes: list[dict[str, Any]]) -> str:
    """The internal address of a node. Raises ClusterError."""
    for node in nodes:
        for one in node["status"].get("addresses", []):
            if one["type"] == "InternalIP":
                return str(one["address"])
    raise ClusterError("no node of the cluster of KUBECONFIG has an address")


def own_address(server: str) -> str:
    """This machine's address towards the API server. Raises ClusterError where pods have no use
    for it."""
    where = urlsplit(server)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
            asked.connect((where.hostname or "", where.port or 443))  # sends nothing
            found = str(asked.getsockname()[0])
    except OSError as fault:
        raise ClusterError(f"{server} cannot be reached: {fault.strerror}") from fault
    if ip_address(found).is_loopback:
        raise ClusterError(
            "the API server of KUBECONFIG is on this machine's loopback: DEIS_TEST_HOST has to name"
            " the address of this machine that pods reach"
        )
    return found


def storage_class(env: Mapping[str, str], classes: list[dict[str, Any]]) -> str:
    """The class that was told; empty for the default one. Raises ClusterError where none is."""
    if told := env.get("DEIS_TEST_STORAGE_CLASS"):
        return told
    for one in classes:
        if one["metadata"].get("annotations", {}).get(_DEFAULT_CLASS) == "true":
            return ""
    raise ClusterError(
        "the cluster of KUBECONFIG has no default storage class: DEIS_TEST_STORAGE_CLASS has to name one"
    )
