"""The platform on the node as people meet it: through its LoadBalancer, under names of a domain."""

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from integration.cluster.node import Node
from integration.kubernetes.index import index
from integration.kubernetes.installed import DOMAIN, NAMESPACE, Installation, installed
from integration.person import Person
from integration.platform_up import SUBSCRIBER

WITH_HOSTS = Path(__file__).with_name("with_hosts.py")
NAMES = ("deis", "deis-builder")
"""What the client looks up; a page is asked for at the router's address."""
CONTROLLER = "deployment/deis-controller"
SUBSCRIBER_SECONDS = 240
BUS_CA = "/var/run/secrets/deis/nats-ca/ca.crt"


@dataclass(frozen=True)
class Gate:
    """Whoever asks for `url` waits while it answers 404."""

    url: str
    folder: Path
    name: str

    def reached(self) -> bool:
        """Whether somebody waits there."""
        return (self.folder / "packages" / f"{self.name}.waits").exists()

    def open(self) -> None:
        """Let them go on."""
        (self.folder / "packages" / "gates" / self.name).touch()

    @property
    def script(self) -> str:
        """A shell text that waits there, at most 60 s."""
        return (
            f"for i in $(seq 600); do curl -fs -o /dev/null {self.url} && break; sleep 0.1; done\n"
            "echo the gate is open"
        )


@dataclass(frozen=True)
class ClusterPlatform:
    """The installed chart, seen from outside (the scenario's `Platform`)."""

    installation: Installation
    address: str
    folder: Path
    index: str
    """URL of the package index, which has gates too."""

    @property
    def api(self) -> str:
        """Base URL of the API."""
        return f"http://deis.{DOMAIN}"

    @property
    def port(self) -> int:
        """Port of the router."""
        return 80

    @property
    def node(self) -> Node:
        """Where it runs."""
        return self.installation.node

    def host(self, app: str) -> str:
        """The name of an application's page."""
        return f"{app}.{DOMAIN}"

    def gate(self, name: str) -> "Gate":
        """A place where a build or an instance waits until the test lets it go on."""
        return Gate(self.index.removesuffix("/simple") + f"/gates/{name}", self.folder, name)

    def person(self, home: Path, **more: Any) -> Person:
        """Somebody who finds the platform's names in the DNS, which here is a hosts file."""
        hosts = self.folder / "hosts"
        names = " ".join(f"{name}.{DOMAIN}" for name in NAMES)
        hosts.write_text(f"127.0.0.1 localhost\n{self.address} {names}\n")
        return Person(
            home,
            router=self.address,
            prefix=("unshare", "--mount", sys.executable, str(WITH_HOSTS), str(hosts)),
            **more,
        )

    async def admin(self, *argv: str) -> str:
        """What `deis-platform` prints in the controller's pod. Raises RuntimeError."""
        process = await asyncio.create_subprocess_exec(
            *self.kubectl("exec", CONTROLLER, "--", "deis-platform", *argv),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        if process.returncode:
            said = (out + err).decode(errors="replace")
            raise RuntimeError(f"deis-platform {' '.join(argv)}:\n{said}")
        return out.decode()

    async def subscriber(
        self, environ: dict[str, str], *options: str
    ) -> asyncio.subprocess.Process:
        """docs/examples/subscriber.py inside the cluster, where NATS can be reached."""
        given = [f"{name}={text}" for name, text in environ.items() if name.startswith("NATS_")]
        # Whoever ends kubectl does not end what runs in the pod.
        limit = ("timeout", f"{SUBSCRIBER_SECONDS}")
        command = ("env", f"SSL_CERT_FILE={BUS_CA}", *given, *limit, "python3", "-", *options)
        with SUBSCRIBER.open("rb") as program:
            return await asyncio.create_subprocess_exec(
                *self.kubectl("exec", "-i", CONTROLLER, "--", *command),
                stdin=program,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )

    def log(self) -> str:
        """The newest lines of every component, for a test that failed."""
        words = ("logs", "--selector", "heritage=deis", "--tail", "40", "--prefix")
        with contextlib.suppress(Exception):
            return self.node.kube("--namespace", NAMESPACE, *words)[-40_000:]
        return ""

    def kubectl(self, *words: str) -> tuple[str, ...]:
        """`kubectl` in the platform's namespace."""
        node = self.node
        config = f"--kubeconfig={node.kubeconfig}"
        return (str(node.kubectl), config, "--namespace", NAMESPACE, *words)


@contextlib.contextmanager
def cluster_platform(folder: Path, node: Node) -> Iterator[ClusterPlatform]:
    """The chart installed on the node, builds with an index of the host's; gone at the end."""
    with index(folder / "packages", node.host_address) as url:
        values = {
            "builder": {"env": {"PIP_INDEX_URL": url, "UV_DEFAULT_INDEX": url}},
            "builds": {"egress": {"allow": [f"{node.host_address}/32"]}},
        }
        with installed(folder, node, values) as installation:
            yield ClusterPlatform(installation, installation.address(), folder, url)
