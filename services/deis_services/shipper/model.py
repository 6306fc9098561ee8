"""Pods, the files of their containers, and how far each was read (pure; decision 0020)."""

import re
from collections.abc import Mapping

import msgspec

from deis_platform.loglines import source
from deis_platform.names import is_app_name

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
_UID = re.compile(r"[A-Za-z0-9-]{1,64}")
_TYPE = re.compile(r"[A-Za-z0-9_-]{1,63}")
_CONTAINER = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_FILE = re.compile(r"(?P<restart>\d{1,9})\.log(?:\.(?P<stamp>\d{8}-\d{6}))?(?P<packed>\.gz)?")
_CURRENT = "~"
"""Sorts after every stamp."""
APP_UUID = "deis.io/app-uuid"


class Pod(msgspec.Struct, frozen=True, kw_only=True):
    """A pod of an application on this node."""

    namespace: str
    name: str
    uid: str
    app: str
    appuuid: str
    type: str
    release: int

    @property
    def folder(self) -> str:
        """What the kubelet calls the folder of its logs."""
        return f"{self.namespace}_{self.name}_{self.uid}"

    @property
    def source(self) -> str:
        """How its lines say who printed them."""
        return source(self.app, self.type, self.release, self.name)


def is_plain(pod: Pod) -> bool:
    """Whether its names are what they should be: they become a path, a subject and a header."""
    placed = (
        _NAME.fullmatch(pod.namespace) and _NAME.fullmatch(pod.name) and _UID.fullmatch(pod.uid)
    )
    owned = is_app_name(pod.app) and _UID.fullmatch(pod.appuuid) and _TYPE.fullmatch(pod.type)
    return bool(placed and owned)


def is_container(name: str) -> bool:
    """Whether a container may have this name."""
    return _CONTAINER.fullmatch(name) is not None


_RELEASE = re.compile(r"v(\d{1,9})")


def app_pod(
    namespace: str,
    name: str,
    uid: str,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    owner: str,
) -> Pod | None:
    """A pod as an application's, in a namespace that belongs to the application with uuid `owner`.

    None where it is none: the namespace decides whose it is, and a pod that claims something else
    belongs to nobody.
    """
    release = _RELEASE.fullmatch(labels.get("version", ""))
    if not owner or labels.get("heritage") != "deis" or release is None:
        return None
    if labels.get("app") != namespace or annotations.get(APP_UUID, owner) != owner:
        return None
    pod = Pod(
        namespace=namespace,
        name=name,
        uid=uid,
        app=namespace,
        appuuid=owner,
        type=labels.get("type", ""),
        release=int(release[1]),
    )
    return pod if is_plain(pod) else None


class LogFile(msgspec.Struct, frozen=True, order=True):
    """The name of a log file, taken apart; in the order in which they were written."""

    restart: int
    stamp: str
    """When the kubelet put it aside."""
    packed: bool
    name: str

    @property
    def is_final(self) -> bool:
        """Whether the name stays with its file for good."""
        return self.stamp != _CURRENT


def log_file(name: str) -> LogFile | None:
    """`0.log`, `0.log.20260131-205331` and with `.gz`; None for everything else."""
    match = _FILE.fullmatch(name)
    if match is None:
        return None
    packed = match["packed"] is not None
    return LogFile(int(match["restart"]), match["stamp"] or _CURRENT, packed, name)


class Key(msgspec.Struct, frozen=True, order=True):
    """A file whatever it is called now: the container's restart and the file's first bytes, hashed.

    The first bytes are a time in nanoseconds. Not the inode: the next file may get it again.
    """

    restart: int
    first: str


class Position(msgspec.Struct, frozen=True):
    """How far a file was read: up to which byte, and how many lines were sent of it until there."""

    offset: int = 0
    lines: int = 0
    size: int = 0
    """Bytes that were seen in it."""

    @property
    def missing(self) -> int:
        """Bytes that were there and not read."""
        return max(0, self.size - self.offset)
