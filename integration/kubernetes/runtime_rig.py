"""The Kubernetes runtime on the test node, as the controller holds it."""

import asyncio
import json
import secrets
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from deis_bus.contracts.runtime import AppRef
from deis_bus.ports import Bus
from deis_platform.embedded.ports import free_port
from deis_platform.groups import KubernetesSettings
from deis_platform.kubernetes import Kubernetes, open_kubernetes
from deis_platform.reports import Reports
from deis_platform.runner import run_parts
from deis_platform.runtime.kubernetes import KubernetesRuntime
from deis_platform.runtime.kubernetes.facts import Facts
from deis_platform.runtime.kubernetes.images import Inspect
from integration.cluster.commands import run
from integration.cluster.containers import allow_plain
from integration.cluster.node import Node
from integration.kubernetes.waiting import until


@dataclass(frozen=True)
class Cluster:
    """A runtime whose parts run, its door, and what it reports."""

    api: Kubernetes
    runtime: KubernetesRuntime
    facts: Facts
    reports: Reports
    apps: list[AppRef] = field(default_factory=list)
    """Removed at the end, without waiting until they are gone."""

    def app(self) -> AppRef:
        """A new application's name."""
        made = AppRef(app=f"t-runtime-{secrets.token_hex(3)}", appuuid=secrets.token_hex(16))
        self.apps.append(made)
        return made


async def no_port(image: str, credentials: dict[str, str]) -> int:
    """A registry that tells of no port."""
    return 0


def facts_of(stack_image: str, **more: object) -> Facts:
    """A platform of its own: what else is on the node leaves its applications alone."""
    given = Facts(
        stack_image=stack_image,
        stop_delay_seconds=1,
        platform_namespace=f"t-runtime-{secrets.token_hex(3)}",
    )
    return msgspec.structs.replace(given, **more)


@asynccontextmanager
async def running(
    node: Node, bus: Bus, facts: Facts, inspect: Inspect = no_port
) -> AsyncIterator[Cluster]:
    """The runtime until the end of the context; `inspect` asks registries."""
    async with (
        open_kubernetes(KubernetesSettings(kubeconfig=str(node.kubeconfig))) as api,
        running_on(api, node, bus, facts, inspect) as cluster,
    ):
        yield cluster


@asynccontextmanager
async def running_on(
    api: Kubernetes, node: Node, bus: Bus, facts: Facts, inspect: Inspect = no_port
) -> AsyncIterator[Cluster]:
    """The same, on a door that is open already."""
    reports = Reports(bus)
    stop = asyncio.Event()
    runtime = KubernetesRuntime(api, bus, facts, reports, inspect)
    parts = asyncio.create_task(run_parts((*runtime.parts, reports), stop))
    cluster = Cluster(api, runtime, facts, reports)
    try:
        yield cluster
    finally:
        for app in cluster.apps:
            node.kube("delete", "namespace", app.app, "--wait=false", "--ignore-not-found")
        stop.set()
        await parts


@contextmanager
def build_namespace(node: Node) -> Iterator[str]:
    """A namespace for build pods, as the chart makes it; its end is not waited for."""
    name = f"t-builds-{secrets.token_hex(3)}"
    node.kube("create", "namespace", name)
    try:
        node.kube("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        yield name
    finally:
        node.kube("delete", "namespace", name, "--wait=false")


@contextmanager
def private_registry(node: Node, folder: Path, login: str) -> Iterator[str]:
    """A registry of this machine that asks for `login` (USER:PASSWORD); its host:port."""
    user, _, password = login.partition(":")
    where = f"{node.host_address}:{free_port(node.host_address)}"
    (folder / "users").write_text(run("htpasswd", "-Bbn", user, password).stdout)
    settings = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "http": {"addr": where},
        "auth": {"htpasswd": {"realm": "test", "path": str(folder / "users")}},
    }
    (folder / "registry.yml").write_text(json.dumps(settings))
    allow_plain(node.own, where)
    program = subprocess.Popen(
        ["docker-registry", "serve", str(folder / "registry.yml")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: listens(where), "the registry")
        yield where
    finally:
        program.terminate()
        program.wait()
        shutil.rmtree(node.own.certs_d / where)


def listens(where: str) -> bool:
    """Whether something answers at host:port."""
    host, _, port = where.partition(":")
    try:
        socket.create_connection((host, int(port)), 1.0).close()
    except OSError:
        return False
    return True
