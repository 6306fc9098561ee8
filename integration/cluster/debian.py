"""What the node needs of Debian: installed when it is missing and we are root.

Nothing that the packages bring may start by itself: `policy-rc.d` forbids it while they are
unpacked, and on a machine with systemd their services are switched off afterwards, but only
where we installed them.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from integration.cluster.commands import run
from integration.cluster.errors import ClusterError

CNI_PLUGINS = Path("/usr/lib/cni")
PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    str(CNI_PLUGINS / "bridge"): "containernetworking-plugins",
    "buildah": "buildah",
    "docker-registry": "docker-registry",
    "skopeo": "skopeo",
    "nft": "nftables",
    "iptables": "iptables",
    "ip": "iproute2",
    "conntrack": "conntrack",
    "debootstrap": "debootstrap",
    "htpasswd": "apache2-utils",
    "nsenter": "util-linux",
    "sysctl": "procps",
}
"""The file or program that shows it is there, and the package it comes from."""
SERVICES = ("containerd", "docker-registry", "nftables")
"""What the packages would start at boot."""
_POLICY = Path("/usr/sbin/policy-rc.d")
_INSTALL_SECONDS = 600.0


def missing() -> list[str]:
    """The packages that are not there."""
    return sorted({name for probe, name in PACKAGES.items() if shutil.which(probe) is None})


def install(say: Callable[[str], None]) -> None:
    """Install what is missing. Raises ClusterError where that cannot be done."""
    wanted = missing()
    if not wanted:
        return
    apt = shutil.which("apt-get")
    if os.geteuid() != 0 or apt is None:
        raise ClusterError(
            f"missing packages (Debian, as root): apt-get install {' '.join(wanted)}"
        )
    say(f"installing {', '.join(wanted)}")
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    argv = [apt, "install", "-y", "--no-install-recommends", *wanted]
    with _nothing_starts():
        if run(*argv, env=env, seconds=_INSTALL_SECONDS, check=False).returncode:
            run(apt, "update", env=env, seconds=_INSTALL_SECONDS)  # the lists may be old
            run(*argv, env=env, seconds=_INSTALL_SECONDS)
    _switch_off(wanted)
    if still := missing():
        raise ClusterError(f"installed, and still not found: {', '.join(still)}")


@contextmanager
def _nothing_starts() -> Iterator[None]:
    """A machine's own policy stays, should it have one."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


def _switch_off(installed: list[str]) -> None:
    if Path("/run/systemd/system").exists():
        services = [name for name in SERVICES if name in installed]
        if services:
            run("systemctl", "disable", "--now", *services)
    elif "docker-registry" in installed:
        run("update-rc.d", "docker-registry", "disable")  # it brings a script of the old kind
