"""containerd: its settings, the pods' network, the registries it may speak to plainly."""

import json
import os
import sys
from pathlib import Path

from integration.cluster import gate as gate_plugin
from integration.cluster.commands import run
from integration.cluster.debian import CNI_PLUGINS
from integration.cluster.errors import ClusterError
from integration.cluster.layout import NODE_PODS, PAUSE_IMAGE, REGISTRY, Layout
from integration.cluster.programs import Programs

NAMESPACE = "k8s.io"
"""Where containerd keeps what the kubelet uses."""
READY_SECONDS = 30.0
_GATE = "deis-gate"
_SOCKET_BYTES = 107
_IMPORT_SECONDS = 300.0


def start_containerd(programs: Programs) -> None:
    """Start it; it is there once `has_started`."""
    layout = programs.layout
    if len(os.fsencode(layout.containerd_socket)) > _SOCKET_BYTES:
        raise ClusterError(f"{layout.folder} is too long a path for sockets: set XDG_CACHE_HOME")
    settings = layout.folder / "containerd.toml"
    settings.write_text(_settings(layout))
    _write_plugins(layout)
    _write_network(layout)
    allow_plain(layout, REGISTRY)
    programs.start("containerd", ["containerd", "--config", settings])


def has_started(layout: Layout) -> bool:
    """Whether containerd answers."""
    return run(*ctr(layout, "version"), check=False, seconds=20).returncode == 0


def ctr(layout: Layout, *words: str | Path) -> list[str | Path]:
    """A call of containerd's client on the kubelet's images."""
    return ["ctr", "--address", layout.containerd_socket, "--namespace", NAMESPACE, *words]


def load_image(layout: Layout, archive: Path) -> None:
    """Give the node every image of an OCI archive, under the names in it."""
    run(*ctr(layout, "images", "import", archive), seconds=_IMPORT_SECONDS)


def allow_plain(layout: Layout, registry: str, address: str = "") -> None:
    """Let the node pull from `registry` (host:port) by HTTP, at `address` when that is another."""
    folder = layout.certs_d / registry
    folder.mkdir(parents=True, exist_ok=True)
    told = f'[host."http://{address or registry}"]\n  capabilities = ["pull", "resolve"]\n'
    (folder / "hosts.toml").write_text(told)


def _settings(layout: Layout) -> str:
    """Without restrict_oom_score_adj no container starts where CAP_SYS_RESOURCE is missing."""
    # JSON strings are TOML strings.
    socket = json.dumps(str(layout.containerd_socket))
    names = ("containerd", "state", "cni", "opt", "plugins")
    own = {name: json.dumps(str(layout.folder / name)) for name in names}
    return f"""version = 2
root = {own["containerd"]}
state = {own["state"]}
oom_score = 0
[grpc]
  address = {socket}
[plugins."io.containerd.internal.v1.opt"]
  path = {own["opt"]}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = {json.dumps(PAUSE_IMAGE)}
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = {own["plugins"]}
  conf_dir = {own["cni"]}
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = {json.dumps(str(layout.certs_d))}
"""


def _write_plugins(layout: Layout) -> None:
    """Debian's plugins and ours (gate.py) in one folder: containerd looks in no more."""
    folder = layout.folder / "plugins"
    folder.mkdir(exist_ok=True)
    for plugin in CNI_PLUGINS.iterdir():
        (folder / plugin.name).symlink_to(plugin)
    ours = folder / _GATE
    source = Path(gate_plugin.__file__).read_text()
    ours.write_text(f"#!{sys.executable} -IS\n{source}")
    ours.chmod(0o755)


def _write_network(layout: Layout) -> None:
    """One bridge; pods keep their addresses towards everybody, for the host knows the way back."""
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": str(NODE_PODS)}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": str(layout.folder / "cni-ipam"),
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    gate = {"type": _GATE, "gate": str(layout.gate)}
    network = {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, ports, gate]}
    folder = layout.folder / "cni"
    folder.mkdir(exist_ok=True)
    (folder / "10-pods.conflist").write_text(json.dumps(network, indent=1))
