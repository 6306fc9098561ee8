"""Which buildpack builds it: the one BUILDPACK_URL names, else the first that detects."""

import os
import pwd
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deis_services.slugbuilder import programs, say
from deis_services.slugbuilder.errors import BuildError

BUILT_IN = Path(__file__).parent / "buildpacks"
ORDER = ("python", "static", "procfile")
SSH_LIKE = re.compile(r"[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:[^:].*")
SCHEMES = ("https://", "ssh://", "git://")
NONE = "Unable to select a buildpack"


@dataclass(frozen=True, kw_only=True)
class Buildpack:
    """A buildpack of the classic contract: bin/detect, bin/compile, bin/release."""

    name: str
    folder: Path
    built_in: bool = False

    def program(self, name: str) -> list[str | Path]:
        """Argument list of `detect`, `compile` or `release`.

        Ours are started through sh: a wheel need not keep the mode of its files.
        """
        path = self.folder / "bin" / name
        return ["/bin/sh", path] if self.built_in else [path]


def built_in(build: Path, environ: Mapping[str, str], *, errors: bool) -> Buildpack:
    """The first of ours that takes the tree. Raises BuildError."""
    for folder in ORDER:
        pack = Buildpack(name=folder, folder=BUILT_IN / folder, built_in=True)
        argv = [*pack.program("detect"), build]
        code, name = programs.answered(argv, build, environ, errors=errors)
        if code == 0:
            return Buildpack(name=name.strip() or folder, folder=pack.folder, built_in=True)
    say.detail("No Procfile, requirements.txt, pyproject.toml, index.html or static.json is in it;")
    say.detail("a buildpack for another language is named with BUILDPACK_URL.")
    raise BuildError(NONE)


def custom(url: str, into: Path, build: Path, environ: Mapping[str, str]) -> Buildpack:
    """Fetch what BUILDPACK_URL names and use it, whatever its detect says. Raises BuildError."""
    address, _, ref = url.strip().partition("#")
    check_address(address)
    check_user(address)
    say.title("Fetching custom buildpack")
    _clone(address, ref, into, environ)
    pack = Buildpack(name="Custom", folder=into)
    if not programs.is_program(into / "bin" / "compile"):
        raise BuildError("The custom buildpack has no program bin/compile")
    code, name = programs.answered([into / "bin" / "detect", build], build, environ)
    named = name.strip().splitlines()[0][:80] if code == 0 and name.strip() else pack.name
    return Buildpack(name=named, folder=into)


def check_address(address: str) -> None:
    """Raises BuildError for anything but https, ssh and git (and user@host:path)."""
    if address.startswith("-") or any(ord(letter) < 33 for letter in address):
        raise BuildError("BUILDPACK_URL is not an address of a git repository")
    if not address.startswith(SCHEMES) and not SSH_LIKE.fullmatch(address):
        raise BuildError("BUILDPACK_URL must be a https, ssh or git address")


def check_user(address: str) -> None:
    """Raises BuildError where it takes ssh, which will not run for a user without a name.

    As root the local runtime gives each build a uid of its own, which no user database knows.
    """
    if address.startswith(("https://", "git://")):
        return
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        raise BuildError(
            "BUILDPACK_URL over ssh does not work here: ssh needs a user with a name, and builds"
            " of a platform that runs as root have none. Use a https address."
        ) from None


def _clone(address: str, ref: str, into: Path, environ: Mapping[str, str]) -> None:
    here = into.parent
    shallow = ["git", "clone", "-q", "--depth=1", "--recurse-submodules", "--shallow-submodules"]
    # No ref: the repository's own default branch; the original's `master` is in few of them.
    branch = [f"--branch={ref}"] if ref else []
    code, _ = programs.answered([*shallow, *branch, "--", address, into], here, environ)
    if code == 0:
        return
    shutil.rmtree(into, ignore_errors=True)
    code = programs.relayed(["git", "clone", "-q", "--", address, into], here, environ)
    if code == 0 and ref:
        # `--end-of-options`: a ref never becomes an option.
        argv = ["git", "-c", "advice.detachedHead=false", "checkout", "-q", "--end-of-options", ref]
        code = programs.relayed(argv, into, environ)
    if code == 0:
        update = ["git", "submodule", "update", "-q", "--init", "--recursive"]
        code = programs.relayed(update, into, environ)
    if code:
        raise BuildError(f"The custom buildpack cannot be fetched (git ended with {code})")


def git_environment(ssh_key: Path | None) -> dict[str, str]:
    """What git may speak, and with which key; it never asks."""
    environ = {"GIT_ALLOW_PROTOCOL": "https:ssh:git", "GIT_TERMINAL_PROMPT": "0"}
    options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    options += ["-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]
    if ssh_key is not None:
        options = ["-i", str(ssh_key), "-o", "IdentitiesOnly=yes", *options]
    return environ | {"GIT_SSH_COMMAND": shlex.join(["ssh", *options])}
