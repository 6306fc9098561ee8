"""What the platform asks of an object store, as a Protocol; all pass one behaviour suite."""

import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from deis_bus.errors import Transient

MAX_KEY = 512
CHUNK_BYTES = 256 * 1024
"""Of what `get` yields; `put` takes chunks of any size."""
_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


class ObjectInfo(msgspec.Struct, frozen=True):
    """What is known of an object without reading it."""

    key: str
    size: int
    """Bytes."""
    etag: str
    """Differs where the content differs."""


class BadKey(ValueError):
    """Not a key: parts of letters, digits, `.`, `_`, `-`, none beginning with a dot, by slashes."""


class NoObject(Exception):
    """There is no object of that key."""


class TooLarge(Exception):
    """The object exceeds the limit it was put with; nothing was kept."""


class StoreFull(Transient):
    """No room, or too little left free; nothing was kept."""


class ObjectStore(Protocol):
    """Every call may raise BadKey, and Transient when the store is away."""

    async def put(
        self, key: str, chunks: AsyncIterator[bytes], *, max_bytes: int = 0
    ) -> ObjectInfo:
        """Store under `key`, replacing what was there: readers see the old or the new, whole.

        Raises TooLarge past `max_bytes` (0: no limit), StoreFull; what `chunks` raises comes
        through. In all cases the old object stays.
        """
        ...

    def get(self, key: str) -> AbstractAsyncContextManager[tuple[ObjectInfo, AsyncIterator[bytes]]]:
        """Read an object in chunks; it stays whole even if it is replaced or deleted meanwhile.

        Raises NoObject.
        """
        ...

    async def head(self, key: str) -> ObjectInfo:
        """Size and tag. Raises NoObject."""
        ...

    async def delete(self, key: str) -> None:
        """Remove; an absent object is no error."""

    async def delete_prefix(self, prefix: str) -> int:
        """Remove every object whose key begins with `prefix` (ending with `/`); gives how many."""
        ...

    async def list(self, prefix: str = "") -> list[ObjectInfo]:
        """Objects whose keys begin with `prefix` (empty or ending with `/`), by key."""
        ...

    async def free_bytes(self) -> int | None:
        """Room left; None where the store does not say."""
        ...

    async def has_room(self) -> bool:
        """Whether enough is free for new pushes (DESIGN 9)."""
        ...


def check_key(key: str) -> str:
    """The key itself. Raises BadKey."""
    if len(key) > MAX_KEY or not all(_PART.fullmatch(part) for part in key.split("/")):
        raise BadKey(f"not an object key: {key[:80]!r}")
    return key


def check_prefix(prefix: str) -> str:
    """The prefix itself: empty, or a key and a slash. Raises BadKey."""
    if prefix and not prefix.endswith("/"):
        raise BadKey(f"not a prefix of keys: {prefix[:80]!r}")
    if prefix:
        check_key(prefix[:-1])
    return prefix
