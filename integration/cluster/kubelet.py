"""The kubelet and kube-proxy of the node, and the node's own place in the cgroups."""

import json
from pathlib import Path

from integration.cluster.layout import (
    CGROUP,
    DNS_SERVICE,
    KUBELET_PORT,
    NODE,
    NODE_ADDRESS,
    PODS,
    Layout,
)
from integration.cluster.programs import Programs

CGROUPS = Path("/sys/fs/cgroup")


def start_kubelet(programs: Programs) -> None:
    """Start it; it keeps its pods below the cgroup CGROUP, so that others' stay out of its sight."""
    layout = programs.layout
    make_cgroups()
    settings = layout.folder / "kubelet.json"
    settings.write_text(json.dumps(_settings(layout), indent=1))
    root = layout.folder / "kubelet"
    programs.start(
        "kubelet",
        [
            programs.binaries / "kubelet",
            f"--config={settings}",
            f"--kubeconfig={layout.kubeconfig('kubelet')}",
            f"--hostname-override={NODE}",
            f"--node-ip={NODE_ADDRESS}",
            f"--root-dir={root}",
            f"--cert-dir={root}/pki",
        ],
    )


def _settings(layout: Layout) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"x509": {"clientCAFile": str(layout.pki / "ca.crt")}},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}",
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{layout.containerd_socket}",
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
        "failCgroupV1": False,
        "failSwapOn": False,
        "healthzPort": 0,
        "imageGCHighThresholdPercent": 100,  # the base image must not go; nobody could pull it
        "nodeStatusUpdateFrequency": "5s",
        "port": KUBELET_PORT,
        "resolvConf": str(layout.folder / "resolv.conf"),
        "volumePluginDir": str(layout.folder / "volume-plugins"),
    }


def start_proxy(programs: Programs) -> None:
    """Start kube-proxy; it leaves the machine's limits on connections alone."""
    layout = programs.layout
    programs.start(
        "kube-proxy",
        [
            programs.binaries / "kube-proxy",
            f"--kubeconfig={layout.kubeconfig('kube-proxy')}",
            f"--hostname-override={NODE}",
            "--proxy-mode=nftables",
            f"--cluster-cidr={PODS}",
            f"--nodeport-addresses={NODE_ADDRESS}/32",
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0s",
            "--conntrack-tcp-timeout-close-wait=0s",
        ],
    )


def hierarchies() -> list[Path]:
    """Where cgroups lie: one folder on a machine with version 2, one per controller with 1."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [path for path in sorted(CGROUPS.iterdir()) if path.is_dir() and not path.is_symlink()]


def make_cgroups() -> None:
    """Make the node's group; a group of cpuset holds no process before it has cores."""
    for hierarchy in hierarchies():
        group = hierarchy / CGROUP
        group.mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (hierarchy / name).exists():
                (group / name).write_text((hierarchy / name).read_text())
        control = hierarchy / "cgroup.subtree_control"
        if control.exists() and (given := control.read_text().split()):
            wanted = " ".join(f"+{name}" for name in given)
            (group / "cgroup.subtree_control").write_text(wanted)
