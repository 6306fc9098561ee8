"""Bytes of the API server to views and lines. Pure; what cannot be read is Transient."""

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import msgspec

from deis_bus.errors import Transient
from deis_platform.kubernetes.faults import fault_within

T = TypeVar("T")

MAX_LINE = 8 * 1024 * 1024
"""An object is at most 1.5 MB: etcd takes no larger request."""


class Listing(msgspec.Struct, Generic[T], frozen=True):
    """Objects as they were at one version of the whole collection."""

    items: list[T]
    version: str


class ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    """Of a list its version and, unless this was the last page, where the next one begins."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class Page(msgspec.Struct, frozen=True):
    """One page of a list, its objects not yet decoded."""

    metadata: ListMeta
    items: tuple[msgspec.Raw, ...] = ()


class Change(msgspec.Struct, Generic[T], frozen=True):
    """A line of a watch: an object was ADDED, MODIFIED or DELETED."""

    type: str
    object: T


class Bookmark(msgspec.Struct, frozen=True):
    """A line of a watch: everything up to this version was told."""

    version: str


class _Event(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


class _Marked(msgspec.Struct, frozen=True):
    metadata: ListMeta


_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
"""One for each view there is; making one costs as much as some twenty objects."""


def _decoder(view: type[T]) -> msgspec.json.Decoder[T]:
    if view not in _decoders:
        _decoders[view] = msgspec.json.Decoder(view)
    return _decoders[view]


def decoded(body: bytes | msgspec.Raw, view: type[T]) -> T:
    """JSON as a view. A null is like a field left out, as in the API's own rules: Go writes
    `"endpoints": null` for an empty list. Raises Transient."""
    try:
        return _decoder(view).decode(body)
    except msgspec.MsgspecError:
        return fitted(_plain(body), view)


def fitted(value: object, view: type[T]) -> T:
    """Plain JSON values as a view. Raises Transient."""
    try:
        return msgspec.convert(without_nulls(value), view)
    except (msgspec.MsgspecError, RecursionError) as fault:
        raise Transient(f"the API server's answer cannot be read: {fault}") from None


def _plain(body: bytes | msgspec.Raw) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError) as fault:
        raise Transient(f"the API server's answer cannot be read: {fault}") from None


def without_nulls(value: Any) -> Any:
    """A value out of JSON or YAML without the fields that are null."""
    if isinstance(value, dict):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def change_of(line: bytes, view: type[T]) -> Change[T] | Bookmark:
    """A line of a watch. Raises what an ERROR line tells (Gone, Transient), or Transient."""
    event = decoded(line, _Event)
    if event.type == "ERROR":
        raise fault_within(bytes(event.object))
    if event.type == "BOOKMARK":
        # Its object is empty but for the version: not every view can be made of it.
        return Bookmark(decoded(event.object, _Marked).metadata.resource_version)
    return Change(event.type, decoded(event.object, view))


class Lines:
    """Chunks to lines; what is left at the end is no line."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._begun: list[bytes] = []
        self._bytes = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that `chunk` ends, without the empty ones. Raises Transient for one that is
        too long."""
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            line = b"".join((*self._begun, part))
            self._begun, self._bytes = [], 0
            if line:
                yield line
        self._begun.append(rest)
        self._bytes += len(rest)
        if self._bytes > self._limit:
            raise Transient("a line of a watch is too long")
