"""One process at a time brings a node up or down."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from integration.cluster.layout import cache


@contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock of this file, alone or with others who share it; the kernel frees it when the
    process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


@contextmanager
def node_lock() -> Iterator[None]:
    """The lock of this user's node."""
    with locked(cache() / "node.lock"):
        yield
