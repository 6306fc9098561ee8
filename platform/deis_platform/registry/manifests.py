"""Manifests and configurations of images, docker's (v2 schema 2) and the OCI's. Pure.

Only the fields in use are read. What a body is, its fields say and not its Content-Type: one
that is index and manifest at once is refused (CVE-2021-41190).
"""

import hashlib
import re
from typing import Annotated, NamedTuple, TypeVar

import msgspec

T = TypeVar("T")

INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
CONFIG_TYPES = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
ACCEPT = ", ".join(INDEX_TYPES + MANIFEST_TYPES)
MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
"""The kernel's word for a processor, and that of images, where they differ."""
DEFAULT_ARCHITECTURE = "amd64"

Digest = Annotated[str, msgspec.Meta(pattern=r"\A(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})\Z")]
_PORT = re.compile("([0-9]{1,5})(?:/tcp)?")


class ImageFacts(NamedTuple):
    """What a deploy has to know of an image."""

    digest: str
    """Of what its name stands for: of the index, where there is one for several architectures.
    `NAME@digest` is the same image on every node, whatever becomes of the tag."""
    ports: tuple[int, ...]
    """TCP ports it exposes, the lowest first."""
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]


class Unusable(Exception):
    """There is no image in it that could run; the text says why."""

    kind = "unusable"


class OtherPlatform(Unusable):
    """There are images for other processors than ours alone; a node may have one of those."""

    kind = "platform"


class Platform(msgspec.Struct, frozen=True):
    """What a manifest of an index is for."""

    architecture: str = ""
    os: str = ""


class Descriptor(msgspec.Struct, frozen=True, rename="camel"):
    """Names a piece of content."""

    digest: Digest
    media_type: str = ""
    platform: Platform | None = None


class Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """An index (`manifests`) or the manifest of one image (`config`)."""

    schema_version: int = 0
    manifests: tuple[Descriptor, ...] | None = None
    config: Descriptor | None = None


class _Start(msgspec.Struct, frozen=True, rename="pascal"):
    exposed_ports: dict[str, msgspec.Raw] | None = None
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None


class _Config(msgspec.Struct, frozen=True):
    config: _Start | None = None


def is_content(body: bytes, digest: str) -> bool:
    """Whether a well-formed digest is that of the body."""
    algorithm, _, wanted = digest.partition(":")
    return hashlib.new(algorithm, body).hexdigest() == wanted


def digest_of(body: bytes) -> str:
    """The digest that registries give by default."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def manifest(body: bytes) -> Manifest:
    """An index or a manifest. Raises Unusable."""
    found = decoded(body, Manifest)
    if found.schema_version == 1:
        raise Unusable("its manifest is of version 2, schema 1, which is no longer supported")
    if (found.manifests is None) == (found.config is None):
        raise Unusable("its manifest is neither an image's nor an index")
    return found


def for_platform(index: Manifest, architecture: str) -> str:
    """The digest of the index's manifest for Linux on this architecture, else on amd64.

    Raises OtherPlatform with docker's words.
    """
    linux = {
        entry.platform.architecture: entry.digest
        for entry in reversed(index.manifests or ())  # the first one of several counts
        if entry.platform and entry.platform.os == "linux"
    }
    found = linux.get(architecture) or linux.get(DEFAULT_ARCHITECTURE)
    if found is None:
        raise OtherPlatform(
            f"no matching manifest for linux/{architecture} in the manifest list entries"
        )
    return found


def config_of(image: Manifest) -> str:
    """The digest of the image's configuration. Raises Unusable for what is no image."""
    if image.config is None:
        raise Unusable("its index leads to another index")
    if image.config.media_type not in CONFIG_TYPES:
        raise Unusable("it is an artifact of another kind, not a container image")
    return image.config.digest


def facts(digest: str, config: bytes) -> ImageFacts:
    """What the image's configuration says. Raises Unusable."""
    start = decoded(config, _Config).config or _Start()
    matches = (_PORT.fullmatch(port) for port in start.exposed_ports or ())
    numbers = {int(match[1]) for match in matches if match}
    ports = sorted(port for port in numbers if 0 < port < 65536)
    return ImageFacts(digest, tuple(ports), start.entrypoint or (), start.cmd or ())


def decoded(body: bytes, kind: type[T]) -> T:
    """JSON of that kind. Raises Unusable; nothing of the body is in its text."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (ValueError, RecursionError):  # msgspec's own faults are ValueErrors
        raise Unusable("its manifest or configuration is malformed") from None
