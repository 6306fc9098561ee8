"""What the chart's NetworkPolicies let pods of applications, builds and strangers reach.

Only addresses of the node are tried: what would be outside is put on its loopback first.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from integration.cluster.commands import run
from integration.cluster.node import Node
from integration.kubernetes.installed import NAMESPACE
from integration.kubernetes.platform import ClusterPlatform
from integration.kubernetes.pods import apply, output, pod
from integration.kubernetes.sample import destroyed, registered
from integration.sample_app import SERVER, repository

pytestmark = [pytest.mark.kubernetes, pytest.mark.own_node, pytest.mark.timeout(1200)]

TRY = """
import socket, sys
from concurrent.futures import ThreadPoolExecutor

def reached(word):
    host, port = word.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), 3):
            return [word]
    except OSError:
        return []

with ThreadPoolExecutor(20) as together:
    for words in together.map(reached, sys.argv[1:]):
        print(*words)
"""
LOOKS = """
import glob, json, os, subprocess, sys

ENVIRONS = [open(name).read() for name in glob.glob("/proc/[0-9]*/environ")]
EDITION = json.dumps({
    "reached": subprocess.check_output(
        [sys.executable, "tries.py", *os.environ["TARGETS"].split()], text=True).split(),
    "processes": len(ENVIRONS),
    "names": sorted({word.partition("=")[0] for text in ENVIRONS for word in text.split(chr(0))}),
    "credentials": glob.glob("/var/run/secrets/**/*", recursive=True),
    "may write": [path for path in ("/", "/etc", "/runner", "/opt/deis") if os.access(path, os.W_OK)],
    "user": os.getuid(),
})
"""
"""An application that looks for all that is not its own, before it serves what it found."""
METADATA = "169.254.169.254"
SERVICES = {
    "router": "deis-router.deis.svc.cluster.local:80",
    "git": "deis-router.deis.svc.cluster.local:2222",
    "artifacts": "deis-artifacts.deis.svc.cluster.local:8088",
    "api": "deis-controller.deis.svc.cluster.local:80",
    "builder": "deis-builder.deis.svc.cluster.local:2222",
    "nats": "deis-nats.deis.svc.cluster.local:4222",
    "database": "deis-database.deis.svc.cluster.local:5432",
    "objects": "deis-objects.deis.svc.cluster.local:8333",
    "kubernetes": "kubernetes.default.svc.cluster.local:443",
}
RESTRICTED = {
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "runAsUser": 2000,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
}


@pytest.fixture
def targets(platform: ClusterPlatform) -> Iterator[dict[str, str]]:
    """host:port by name: of the platform's Services, the health of a pod, and the node's own."""
    node = platform.node
    (gateway, *_) = platform.installation.pods("deis-gateway").values()
    with metadata(node), served(node, node.address) as node_port:
        yield {
            **SERVICES,
            "health": f"{gateway['status']['podIP']}:8092",
            "api server": f"{node.address}:26443",
            "node": f"{node.address}:{node_port}",
            "metadata": f"{METADATA}:80",
        }


@contextmanager
def metadata(node: Node) -> Iterator[None]:
    """A server at the address where clouds tell credentials."""
    run(*node.inside("ip", "address", "add", f"{METADATA}/32", "dev", "lo"))
    try:
        with served(node, METADATA, 80):
            yield
    finally:
        run(*node.inside("ip", "address", "del", f"{METADATA}/32", "dev", "lo"))


@contextmanager
def served(node: Node, address: str, port: int = 0) -> Iterator[int]:
    """An HTTP server in the node's network; its port."""
    argv = node.inside("python3", "-u", "-m", "http.server", str(port), "--bind", address)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as it:
        try:
            assert it.stdout
            yield int(it.stdout.readline().split(" port ")[1].split(" ")[0])
        finally:
            it.kill()


def reached(node: Node, namespace: str, targets: dict[str, str], name: str = "tries") -> set[str]:
    """What a pod in that namespace can connect to, by name."""
    command = ["python3", "-c", TRY, *targets.values()]
    apply(node, namespace, pod(node, name, command, {"role": name}, **RESTRICTED))
    try:
        lines = output(node, namespace, name).split()
    finally:
        node.kube("-n", namespace, "delete", "pod", name, "--now")
    return {known for known, word in targets.items() if word in lines}


def test_an_application_reaches_router_and_artifacts_and_nothing_else_of_the_platform(
    platform: ClusterPlatform, namespace: str, targets: dict[str, str]
) -> None:
    platform.node.kube("label", "namespace", namespace, "heritage=deis")
    ours = {name: word for name, word in targets.items() if name in (*SERVICES, "health")}
    found = reached(platform.node, namespace, ours)
    assert found - {"kubernetes"} == {"router", "git", "artifacts"}


async def test_a_deployed_application_finds_no_credentials_and_no_way_to_the_cluster(
    platform: ClusterPlatform, targets: dict[str, str], tmp_path: Path
) -> None:
    """As web process and as one-off run: API server, node and metadata are closed to both."""
    person, app = await registered(platform, tmp_path / "home", "snoop"), "snoops"
    files = {"Procfile": "web: exec python3 server.py\n", "tries.py": TRY}
    look = {"server.py": LOOKS + SERVER, "look.py": LOOKS + "print(EDITION)\n"}
    await repository(person, files | look, app)
    try:
        await person.types("deis", "config:set", f"TARGETS={' '.join(targets.values())}")
        await person.types("git", "push", "deis", "main", says=f"{app}:v3 deployed")
        status, page = await person.sees(platform.host(app), 80)
        assert status == 200
        ran = await person.types("deis", "run", "python3", "look.py")
    finally:
        await destroyed(person, app)
    for text in (page, next(line for line in ran.output.splitlines() if line.startswith("{"))):
        found = json.loads(text)
        names = {name for name, word in targets.items() if word in found["reached"]}
        assert names == {"router", "git", "artifacts"}
        assert found["processes"] > 0
        assert "TARGETS" in found["names"]
        assert [name for name in found["names"] if "TOKEN" in name or "PASSWORD" in name] == []
        assert found["credentials"] == []
        assert found["may write"] == []
        assert found["user"] == 2000


def test_a_stranger_reaches_the_router_only(
    platform: ClusterPlatform, namespace: str, targets: dict[str, str]
) -> None:
    found = reached(platform.node, namespace, targets)
    assert found == {"router", "git", "kubernetes", "api server", "node", "metadata"}


def test_a_build_reaches_artifacts_and_what_is_outside(
    platform: ClusterPlatform, targets: dict[str, str]
) -> None:
    """The node's address counts as the API server's; the host's stands for the outside."""
    node = platform.node
    with subprocess.Popen(
        ["python3", "-u", "-m", "http.server", "0", "--bind", node.host_address],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as outside:  # fmt: skip
        try:
            assert outside.stdout
            port = outside.stdout.readline().split(" port ")[1].split(" ")[0]
            all_of_them = {**targets, "outside": f"{node.host_address}:{port}"}
            found = reached(node, "deis-builds", all_of_them, "build-tries")
        finally:
            outside.kill()
    assert found == {"artifacts", "outside"}


def test_a_pod_of_the_platform_reaches_what_is_its_to_reach(platform: ClusterPlatform) -> None:
    """From the logger: the bus, and neither database nor objects."""
    program = json.dumps(TRY)
    said = platform.node.kube(
        "exec", "--namespace", NAMESPACE, "deploy/deis-logger", "--",
        "python", "-c", f"exec({program})", *SERVICES.values(), seconds=120,
    ).split()  # fmt: skip
    names = {name for name, word in SERVICES.items() if word in said}
    assert names == {"router", "git", "artifacts", "api", "nats", "kubernetes"}
