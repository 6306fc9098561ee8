"""What the node's programs change of the machine itself, remembered so that it can be undone."""

import shutil
from pathlib import Path

from integration.cluster.errors import ClusterError
from integration.cluster.kubelet import CGROUPS
from integration.cluster.layout import CGROUP

SYSCTLS = (
    "vm.overcommit_memory",
    "vm.panic_on_oom",
    "kernel.panic",
    "kernel.panic_on_oops",
    "kernel.keys.root_maxkeys",
    "kernel.keys.root_maxbytes",
)
"""The kubelet sets them, whatever the network namespace it runs in."""
FOLDERS = (
    "/run/containerd",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
)
"""Paths that are fixed in containerd, its shims, the CNI plugins and the kubelet."""


def sysctls() -> dict[str, str]:
    """The settings as they are."""
    return {name: _sysctl(name).read_text().strip() for name in SYSCTLS}


def restore_sysctls(before: dict[str, str]) -> None:
    """Set them as they were."""
    for name, value in before.items():
        if _sysctl(name).read_text().strip() != value:
            _sysctl(name).write_text(value)


def _sysctl(name: str) -> Path:
    return Path("/proc/sys", *name.split("."))


def new_folders() -> list[str]:
    """Those of FOLDERS that do not exist: the node's to remove.

    Raises ClusterError when the machine runs pods of its own: their kubelet and ours would see
    each other's.
    """
    pods = Path("/var/log/pods")
    if (pods.is_dir() and any(pods.iterdir())) or any(CGROUPS.glob(f"*/{CGROUP}")):
        raise ClusterError("this machine runs pods of another node, or one was not cleaned up")
    return [name for name in FOLDERS if not Path(name).exists()]


def remove_folders(names: list[str]) -> None:
    """Remove what was made; what was there before the node stays, with what is in it."""
    for name in names:
        shutil.rmtree(name, ignore_errors=True)
