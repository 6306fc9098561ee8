"""Where the node keeps its things, and the addresses and names it uses.

All addresses are those of RFC 5737 (documentation) or of private ranges; they exist in the
node's own network namespace, and the host reaches them through one veth pair.
"""

import os
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

NODE = "node1"
HOST_ADDRESS = "198.51.100.1"
"""The host's end of the pair: what tests serve there, pods reach."""
UPLINK_ADDRESS = "198.51.100.2"
"""The node's end of the pair."""
NODE_ADDRESS = "198.51.100.10"
OUTSIDE = IPv4Network("198.51.100.0/24")
"""The node's own addresses, those of LoadBalancers, and whatever a test wants to be outside."""
LOAD_BALANCERS = tuple(f"198.51.100.{last}" for last in range(30, 62))
SERVICES = IPv4Network("10.96.0.0/16")
API_SERVICE = "10.96.0.1"
DNS_SERVICE = "10.96.0.10"
PODS = IPv4Network("10.244.0.0/16")
NODE_PODS = IPv4Network("10.244.0.0/24")
"""What the controller manager gives to the first node."""

API_PORT = 26443
KUBELET_PORT = 20250
REGISTRY_PORT = 5000
METRICS_PORT = 24443
REGISTRY = f"{NODE_ADDRESS}:{REGISTRY_PORT}"
"""The registry as everybody names it: kubelet, pods and tests."""
PAUSE_IMAGE = "localhost/pause:1"
BASE_IMAGE = "localhost/debian:bookworm-slim"

HOST_LINK = "deis-node"
"""The host's end of the veth pair; at most 15 characters. One node a machine."""
NODE_LINK = "uplink"
CGROUP = "deis-node"
"""The node's own group in each cgroup hierarchy, for its pods."""


def cache() -> Path:
    """What is kept from run to run: programs, the base image, and the node's folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "deis-workflow" / "cluster"


@dataclass(frozen=True, slots=True)
class Layout:
    """The folder of a running node."""

    folder: Path

    @property
    def state(self) -> Path:
        """What is known of the node (state.py)."""
        return self.folder / "state.json"

    @property
    def net(self) -> Path:
        """The network namespace, as a file to enter it by."""
        return self.folder / "net"

    @property
    def logs(self) -> Path:
        """One file per program."""
        return self.folder / "logs"

    @property
    def pki(self) -> Path:
        """Certificates and keys."""
        return self.folder / "pki"

    @property
    def certs_d(self) -> Path:
        """How containerd reaches each registry; read at every pull."""
        return self.folder / "certs.d"

    @property
    def containerd_socket(self) -> Path:
        """Where containerd listens; sockets need paths of at most 107 bytes."""
        return self.folder / "containerd.sock"

    @property
    def gate(self) -> Path:
        """Where the network plugin of each new pod asks for its policies (enforcer.py)."""
        return self.folder / "gate.sock"

    def kubeconfig(self, who: str = "admin") -> Path:
        """The kubeconfig of one identity."""
        return self.folder / "kubeconfigs" / who


def node_layout() -> Layout:
    """The folder of this user's node; there is at most one."""
    return Layout(cache() / "node")
