"""What of ours the users of applications and builds run, where they can reach it (DESIGN 8).

As root every application and build is a user of its own, and the installation may be closed to
it: a clone in root's home. The runtime's folder then holds a copy, a virtual environment with
what a build and a start need and nothing else:

    tools/<digest>/bin/                                 the same interpreter, uv
    tools/<digest>/lib/python3.<x>/site-packages/       slugbuilder, slugrunner, PyYAML, uv's finder
"""

import compileall
import hashlib
import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import uv
import yaml

import deis_services
from deis_platform.embedded.keeper_process import boot_id
from deis_platform.embedded.owners import Owner, barrier
from deis_platform.logs import get_logger
from deis_platform.trees import remove_tree

log = get_logger(__name__)

OURS = Path(deis_services.__path__[0])
PARTS = ("slugbuilder", "slugrunner")
"""Run, never imported: services meet only on the bus."""
WHOLE = "whole"
"""Marks a finished copy with the machine's boot it was made in: after another one it may have holes."""


@dataclass(frozen=True, kw_only=True)
class Programs:
    """The interpreter and the package that they run."""

    python: Path = Path(sys.executable)
    package: Path = OURS

    def builder(self) -> tuple[str, ...]:
        """The command line of a build."""
        return (str(self.python), "-I", "-m", "deis_services.slugbuilder")

    def runner(self, *words: str) -> tuple[str, ...]:
        """The command line of a slug's process (components.md 3.5)."""
        program = self.package / "slugrunner" / "runner.py"
        return (str(self.python), "-I", "-S", "-E", str(program), *words)


@dataclass(frozen=True, kw_only=True)
class Installed:
    """Where this installation has them, and what they need."""

    python: Path = Path(sys.executable)
    package: Path = OURS
    yaml: Path = Path(yaml.__path__[0])
    uv: Path = Path(uv.__path__[0])

    @property
    def uv_program(self) -> Path:
        """The binary, which the Python buildpack calls."""
        return Path(uv.find_uv_bin())

    def closed_to(self, owner: Owner) -> Path | None:
        """The first folder on the way to any of it that the owner may not pass; None: all is open."""
        folders = (self.package, self.yaml, self.uv)
        ways = (self.python, self.uv_program, *(folder / "x" for folder in folders))
        return next(filter(None, (barrier(way, owner) for way in ways)), None)

    def files(self) -> dict[Path, Path]:
        """What a copy holds: path among its packages to the file here."""
        folders = {f"deis_services/{part}": self.package / part for part in PARTS}
        found = {Path("deis_services/__init__.py"): self.package / "__init__.py"}
        for name, folder in (folders | {"yaml": self.yaml, "uv": self.uv}).items():
            for path in sorted(folder.rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    found[name / path.relative_to(folder)] = path
        return found


def reachable(folder: Path, owner: Owner, installed: Installed | None = None) -> Programs:
    """Ours, or where the installation is closed to the owner the copy in `folder`/tools.

    Blocks; call it before anything runs: copies that are no longer right are removed.
    Raises OSError.
    """
    installed = installed or Installed()
    tools = folder / "tools"
    if owner.uid < 0 or installed.closed_to(owner) is None:
        remove_tree(tools)
        return Programs(python=installed.python, package=installed.package)
    base = Path(os.path.realpath(installed.python))
    if (closed := barrier(base, owner)) is not None:
        log.error("applications cannot start: their users cannot reach Python", closed=str(closed))
    files = installed.files()
    place = tools / _digest(base, files, installed.uv_program)
    if not _is_whole(place):
        remove_tree(tools)
        _copy(base, files, installed.uv_program, place)
        log.info("builds and starts run from a copy of ours", folder=str(place))
    for other in set(tools.iterdir()) - {place}:
        remove_tree(other)
    return Programs(python=place / "bin" / base.name, package=_packages(place) / "deis_services")


def _packages(place: Path) -> Path:
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(place)}))


def _digest(base: Path, files: Mapping[Path, Path], uv_program: Path) -> str:
    """A name that changes when anything of it does; uv's is large and told by size and time."""
    binary = uv_program.stat()
    digest = hashlib.sha256(f"{sys.version}\0{base}\0".encode())
    digest.update(f"{binary.st_size} {binary.st_mtime_ns}\0".encode())
    for name, path in files.items():
        content = path.read_bytes()
        digest.update(b"%s\0%d\0" % (os.fsencode(name), len(content)) + content)
    return digest.hexdigest()[:12]


def _is_whole(place: Path) -> bool:
    mark = place / WHOLE
    return mark.is_file() and mark.read_text() == boot_id()


def _copy(base: Path, files: Mapping[Path, Path], uv_program: Path, place: Path) -> None:
    """Make it beside its place, then rename it there: what has the name is whole."""
    draft = place.with_name(f".{place.name}")
    packages = _packages(draft)
    wanted = {packages / name: path for name, path in files.items()}
    for target, path in (wanted | {draft / "bin" / "uv": uv_program}).items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (draft / "bin" / base.name).symlink_to(base)
    settings = f"home = {base.parent}\ninclude-system-site-packages = false\n"
    (draft / "pyvenv.cfg").write_text(settings)
    (draft / WHOLE).write_text(boot_id())
    # Who runs it may not write bytecode there.
    compileall.compile_dir(packages, quiet=2, stripdir=draft, prependdir=place)
    _open_to_all(draft)
    draft.rename(place)


def _open_to_all(draft: Path) -> None:
    """Whatever our umask is, and the modes of the files here."""
    for path in (draft.parent, draft, *draft.rglob("*")):
        if not path.is_symlink():
            program = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if program else 0o644)
