"""bin/compile of the Python buildpack: packages into `.deis/python`, a virtual environment.

The slug runs at another path, read-only, and may hold no link leading out. So the environment
is relocatable, its interpreter is a script in place of the link, and bytecode is compiled here
so that it needs no time stamps. An unchanged list of packages comes out of the cache whole.
"""

import configparser
import contextlib
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uv import find_uv_bin

FORMAT = "1"
"""Part of the fingerprint: another way of installing makes other environments."""
PLACE = Path(".deis") / "python"
VERSION = re.compile(r"(?:python-)?(\d+(?:\.\d+){0,2})")
LISTS = ("requirements.txt", "uv.lock", "pyproject.toml", "setup.py", "setup.cfg")
INCLUDED = re.compile(r"^[ \t]*(?:-r|--requirement|-c|--constraint)[ \t=]*(\S+)", re.MULTILINE)
LOCAL = re.compile(
    r"^[ \t]*(?:-e\b|--editable\b|[\w.-]*/|\.(?:\[|\s|$)|file:)|@[ \t]*file:", re.MULTILINE
)
"""A requirement that lies in the repository: a folder, or the application itself."""
PIPS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}
"""Options of pip and the variables of uv that mean the same."""
PIP_CONFIGS = ("/etc/xdg/pip/pip.conf", "/etc/pip.conf")
PROFILE = """export VIRTUAL_ENV="$HOME/.deis/python"
export PATH="$HOME/.deis/python/bin:$PATH"
export PYTHONUNBUFFERED="${PYTHONUNBUFFERED:-1}"
"""
INTERPRETER = """#!/bin/bash
# Stands where a link to the interpreter would: that link leads out of the slug.
here=$(dirname -- "$(realpath -- "${{BASH_SOURCE[0]}}")")
exec -a "$here/python" {python} "$@"
"""


class CompileError(Exception):
    """Ends the build with a sentence."""


def main() -> int:
    """`compile BUILD CACHE ENV`; gives the exit code."""
    build, cache = (Path(word).resolve() for word in sys.argv[1:3])
    try:
        Compile(build, cache).run()
    except CompileError as fault:
        _title(str(fault))
        return 1
    return 0


class Compile:
    """One Python application and its environment."""

    def __init__(self, build: Path, cache: Path) -> None:
        self.build = build
        self.kept = cache / "python"
        self.venv = build / PLACE
        self.python = self._wanted()
        self.environ = _like_pip(os.environ) | {
            "UV_CACHE_DIR": str(cache / "uv"),
            "UV_LINK_MODE": "copy",
            # What is installed for editing leads to this very folder, which is gone when it runs.
            "UV_NO_EDITABLE": "1",
            "UV_NO_PROGRESS": "1",
            "UV_PYTHON_INSTALL_DIR": str(build.parent / "pythons"),
            "PYC_INVALIDATION_MODE": "UNCHECKED_HASH",
            "VIRTUAL_ENV": str(self.venv),
            "UV_PROJECT_ENVIRONMENT": str(self.venv),
        }

    def run(self) -> None:
        """Install what is listed, or take it from the cache. Raises CompileError."""
        shutil.rmtree(self.venv, ignore_errors=True)
        word = self._fingerprint()
        saved = self.kept / word
        if (saved / "bin" / "python").exists():
            _title("Using the installed packages of the last build")
            _copy(saved, self.venv)
        else:
            _title(f"Installing dependencies for Python {self.python}")
            self._install()
            self._settle()
            shutil.rmtree(self.kept, ignore_errors=True)
            saved.parent.mkdir(parents=True, exist_ok=True)
            _copy(self.venv, saved)
        self._install_project()
        self._profile()

    def _wanted(self) -> str:
        """The version that runtime.txt or .python-version asks for, else the platform's own."""
        for name in ("runtime.txt", ".python-version"):
            path = self.build / name
            if not path.is_file():
                continue
            lines = path.read_text(errors="replace").split()
            match = VERSION.fullmatch(lines[0]) if lines else None
            if match is None:
                raise CompileError(f"{name} must say a version, such as 3.12")
            return match[1]
        return f"{sys.version_info.major}.{sys.version_info.minor}"

    def _fingerprint(self) -> str:
        """What the environment is made of; the project's own code is no part of it."""
        digest = hashlib.sha256(
            f"{FORMAT}\0{self.python}\0{sys.version}\0{sys.executable}".encode()
        )
        for path in self._lists():
            content = path.read_bytes()
            digest.update(f"{path.relative_to(self.build)}\0".encode() + content)
            if path.suffix == ".txt" and LOCAL.search(content.decode(errors="replace")):
                digest.update(self.environ.get("SOURCE_VERSION", "").encode())
        return digest.hexdigest()[:32]

    def _lists(self) -> list[Path]:
        """The files that say what to install, and those that they name."""
        waiting = [self.build / name for name in LISTS]
        waiting += sorted(self.build.glob("*requirements*.txt"))
        found: dict[Path, None] = {}
        while waiting:
            path = waiting.pop(0).resolve()
            if path in found or not path.is_file() or self.build not in path.parents:
                continue
            found[path] = None
            if path.suffix == ".txt":
                text = path.read_text(errors="replace")
                waiting += [path.parent / name for name in INCLUDED.findall(text)]
        return list(found)

    def _install(self) -> None:
        self._uv("venv", "-q", "--relocatable", "--python", self._interpreter(), str(self.venv))
        if (self.build / "requirements.txt").is_file():
            self._add("-r", "requirements.txt")
        elif (self.build / "uv.lock").is_file():
            self._sync("--no-install-project")
        elif (self.build / "pyproject.toml").is_file() and "project" in self._pyproject():
            self._add("-r", "pyproject.toml")

    def _interpreter(self) -> str:
        """This very one where it will do, so that nothing has to be looked for."""
        own = ".".join(map(str, sys.version_info[:3]))
        return sys.executable if f"{own}.".startswith(f"{self.python}.") else self.python

    def _install_project(self) -> None:
        """The application itself, where it is a package; new with each push."""
        packaged = (self.build / "setup.py").is_file() or "build-system" in self._pyproject()
        if not packaged or (self.build / "requirements.txt").is_file():
            return
        _title("Installing the application as a package")
        if (self.build / "uv.lock").is_file():
            self._sync("--no-editable")
        elif "build-system" in self._pyproject():
            self._add("--no-deps", ".")
        else:
            self._add(".")

    def _pyproject(self) -> dict[str, Any]:
        path = self.build / "pyproject.toml"
        if not path.is_file():
            return {}
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
            raise CompileError(f"pyproject.toml: {fault}") from fault

    def _add(self, *what: str) -> None:
        python = str(self.venv / "bin" / "python")
        self._uv("pip", "install", "--compile-bytecode", "--python", python, *what)

    def _sync(self, *options: str) -> None:
        self._uv("sync", "--frozen", "--no-dev", "--inexact", "--compile-bytecode", *options)

    def _uv(self, *words: str) -> None:
        argv = [find_uv_bin(), *words]
        done = subprocess.run(  # noqa: S603 - a list, no shell
            argv, cwd=self.build, env=self.environ, stdin=subprocess.DEVNULL, check=False
        )
        if done.returncode:
            raise CompileError(f"uv {words[0]} ended with code {done.returncode}")

    def _settle(self) -> None:
        """Make the environment one that may travel: no link leads out, nothing of uv's is left."""
        folder = self.venv / "bin"
        real = (folder / "python").resolve()
        if self.venv.parent.parent.parent / "pythons" in real.parents:
            real = self._bring_along(real)
        links = [path for path in folder.iterdir() if path.is_symlink()]
        for path in links:
            path.unlink()
        main = folder / "python"
        main.write_text(INTERPRETER.format(python=self._named(real)), encoding="utf-8")
        main.chmod(0o755)
        for name in {path.name for path in links} - {"python"}:
            (folder / name).symlink_to("python")
        self._uv("cache", "prune", "-q", "--ci")

    def _bring_along(self, real: Path) -> Path:
        """A Python that uv fetched travels in the slug; it runs wherever it lies."""
        home = real.parent.parent
        shutil.copytree(home, self.venv / "base", symlinks=True, dirs_exist_ok=True)
        return self.venv / "base" / "bin" / real.name

    def _named(self, real: Path) -> str:
        """The interpreter as the script names it: by its path, or from the script's folder."""
        if self.venv in real.parents:
            return '"$here"/../' + shlex.quote(str(real.relative_to(self.venv)))
        return shlex.quote(str(real))

    def _profile(self) -> None:
        folder = self.build / ".profile.d"
        folder.mkdir(exist_ok=True)
        (folder / "python.sh").write_text(PROFILE, encoding="utf-8")


def _like_pip(environ: Mapping[str, str]) -> dict[str, str]:
    """uv reads its own variables only; who configured pip, by variable or file, means both."""
    configured = _pip_config(environ)
    found = dict(environ)
    for option, uvs in PIPS.items():
        variable = "PIP_" + option.upper().replace("-", "_")
        value = environ.get(variable) or configured.get(option, "")
        if value and uvs not in environ:
            found[uvs] = ",".join(value.split()) if option == "find-links" else value
    return found


def _pip_config(environ: Mapping[str, str]) -> dict[str, str]:
    """The machine's options for pip: a later file wins, and `install` over `global`."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    files = [*PIP_CONFIGS, environ.get("PIP_CONFIG_FILE", "")]
    with contextlib.suppress(configparser.Error, UnicodeDecodeError):
        parser.read([] if files[-1] == os.devnull else filter(None, files))
    found: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            found |= {key: " ".join(value.split()) for key, value in parser.items(section)}
    return found


def _copy(source: Path, target: Path) -> None:
    """A second name for every file: both lie in the build's folder, and files are only replaced."""
    shutil.copytree(source, target, symlinks=True, copy_function=_link, dirs_exist_ok=True)


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
    return target


def _title(text: str) -> None:
    sys.stdout.write(f"-----> {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
