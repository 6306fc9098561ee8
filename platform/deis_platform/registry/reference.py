"""Names of images, read strictly: `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`. Pure.

The grammar is that of docker and of the kubelet, with their defaults: Docker Hub, `library/`,
`latest`. What passes here can be put into a URL as it is: no part of it holds anything that a
URL would read as something else.
"""

import ipaddress
import re
from typing import NamedTuple

from deis_platform.registry import faults

DOCKER_HUB = "registry-1.docker.io"
ALIASES = frozenset({"docker.io", "index.docker.io"})
"""Other names of Docker Hub; it answers the API under the one above."""
MAX_HOST = 253
MAX_NAME = 255
"""Of host and repository together, as in docker."""
MAX_IMAGE = 600
RESERVED = (
    *("builder", "controller", "database", "dockerbuilder", "etcd", "minio", "registry"),
    *("router", "slugbuilder", "slugrunner", "workflow", "workflow-manager"),
)
"""`deis/…` that no application may be (api.md 25.1)."""

_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"({_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]{{2,45}}\])(?::([0-9]{{1,5}}))?")
_PART = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(f"{_PART}(?:/{_PART})*")
_TAG = re.compile("[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile("sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
"""Resolvers take such hosts for addresses, in spellings that hide which (`127.1`)."""
_IDENTIFIER = re.compile("[0-9a-f]{64}")


class Authority(NamedTuple):
    """Where a registry is; port 0 is the one of its scheme."""

    host: str
    """In lower case, IPv6 without brackets."""
    port: int = 0

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else host


class Reference(NamedTuple):
    """An image's name, taken apart."""

    image: str
    """As the user wrote it; fit for a text."""
    authority: Authority
    repository: str
    tag: str
    """Empty where a digest says more."""
    digest: str

    @property
    def version(self) -> str:
        """What to ask the registry for."""
        return self.digest or self.tag


def parse(image: str) -> Reference:
    """The parts of an image's name. Raises Refused 400, also for the platform's own images."""
    if len(image) > MAX_IMAGE:
        raise faults.invalid(f"longer than {MAX_IMAGE} characters")
    rest, at, digest = image.partition("@")
    if at and not is_digest(digest):
        raise faults.invalid("the digest is not sha256 or sha512 in lower case")
    name, tag = _tagged(rest)
    authority, repository = _split(name)
    _check(name, repository)
    return Reference(image, authority, repository, "" if digest else tag or "latest", digest)


def is_digest(text: str) -> bool:
    """Whether that is a digest we can check."""
    return _DIGEST.fullmatch(text) is not None


def authority(text: str) -> Authority | None:
    """`HOST[:PORT]`, Docker Hub by any of its names; None for anything else."""
    match = _HOST.fullmatch(text)
    if match is None:
        return None
    host, port = match[1].lower(), int(match[2] or 0)
    if len(host) > MAX_HOST or port > 65535 or (match[2] is not None and not port):
        return None
    host = host.strip("[]")
    if (":" in host or _NUMERIC.fullmatch(host)) and not _is_address(host):
        return None
    return Authority(DOCKER_HUB if host in ALIASES and not port else host, port)


def _tagged(rest: str) -> tuple[str, str]:
    """Name and tag; a colon before the last slash is a port's."""
    if ":" not in rest.rpartition("/")[2]:
        return rest, ""
    name, _, tag = rest.rpartition(":")
    if not _TAG.fullmatch(tag):
        raise faults.invalid("the tag is no tag")
    return name, tag


def _split(name: str) -> tuple[Authority, str]:
    """Where the registry is, and the repository in it."""
    first, slash, path = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        first, path = "docker.io", name
    found = authority(first)
    if found is None:
        raise faults.invalid("the part before the first slash is no host")
    if first.lower() in ALIASES and "/" not in path:
        path = f"library/{path}"
    return found, path


def _check(name: str, repository: str) -> None:
    if not _REPOSITORY.fullmatch(repository):
        lower = _REPOSITORY.fullmatch(repository.lower())
        raise faults.invalid("repository name must be lowercase" if lower else "")
    if len(name) > MAX_NAME:
        raise faults.invalid(f"the repository name is longer than {MAX_NAME} characters")
    if _IDENTIFIER.fullmatch(name):
        raise faults.invalid("64 hexadecimal digits are an image's identifier, not its name")
    # Anywhere in the name, as the original has it: also `quay.io/deis/router`.
    if any(f"deis/{word}" in name for word in RESERVED):
        raise faults.reserved(name)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
