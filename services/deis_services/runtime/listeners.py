"""Whose program listens on an instance's port: on one machine any program can, ours or not.

Without this look an application could sit down on a port that was just given to another one and
get that one's requests. Linux tells the user of each socket; elsewhere nobody is suspected.
"""

import contextlib
import os
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
LISTENING = "0A"
WORD = 4


def strangers(port: int, uid: int) -> bool:
    """Whether a user other than `uid` (-1: ours) would take connections to 127.0.0.1:`port`."""
    expected = uid if uid >= 0 else os.geteuid()
    return bool(listening(port, _tables()) - {expected})


def listening(port: int, tables: Iterable[str]) -> set[int]:
    """Users that take connections to that port of 127.0.0.1, by the texts of /proc/net/tcp."""
    found = set()
    for table in tables:
        for row in table.splitlines()[1:]:
            _, local, _, state, _, _, _, uid, *_ = row.split()
            address, _, number = local.partition(":")
            if state == LISTENING and int(number, 16) == port and address in _REACHED:
                found.add(int(uid))
    return found


def _tables() -> Iterable[str]:
    for path in TABLES:
        with contextlib.suppress(OSError):
            yield path.read_text(encoding="ascii")


def _shown(family: socket.AddressFamily, address: str) -> str:
    """An address as the kernel prints it: word by word, in this machine's own order of bytes."""
    raw = socket.inet_pton(family, address)
    words = (raw[start : start + WORD] for start in range(0, len(raw), WORD))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)


_REACHED = {
    *(_shown(socket.AF_INET, address) for address in ("127.0.0.1", "0.0.0.0")),  # noqa: S104
    *(_shown(socket.AF_INET6, address) for address in ("::", "::ffff:127.0.0.1", "::ffff:0.0.0.0")),
}
