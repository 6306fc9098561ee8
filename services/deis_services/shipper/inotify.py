"""The door to inotify: three calls of the C library, and many events with one read.

A flood of writes is one event a file and read, so events are taken when there is time for them.
"""

import asyncio
import ctypes
import os
import struct
from collections.abc import Callable

import msgspec

MODIFIED = 0x2
MOVED_FROM = 0x40
MOVED_TO = 0x80
CREATED = 0x100
DELETED = 0x200
OVERFLOWED = 0x4000
"""Events were lost: look at everything."""
ENDED = 0x8000
"""The folder is gone, and so is its watch."""
ONLY_FOLDERS = 0x01000000

_READ_BYTES = 64 * 1024
_MOST_READS = 32
"""At once, so that a flood of events does not keep anybody from reading files."""
_HEAD = struct.Struct("iIII")


class Event(msgspec.Struct, frozen=True):
    """Something happened to what `name` is in a watched folder."""

    watch: int
    mask: int
    name: str


class Inotify:
    """One queue of events. Raises OSError where the system has no more of them."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)
        self._handle = _checked(self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def add(self, path: str, mask: int) -> int:
        """Watch a folder; gives the number that its events carry. Raises OSError."""
        return _checked(
            self._library.inotify_add_watch(
                self._handle, os.fsencode(path), ctypes.c_uint32(mask | ONLY_FOLDERS)
            )
        )

    def remove(self, watch: int) -> None:
        """Watch it no more; one that has ended is no error."""
        self._library.inotify_rm_watch(self._handle, watch)

    def read(self) -> list[Event]:
        """What has happened since, at most some thousands; never waits."""
        events: list[Event] = []
        for _ in range(_MOST_READS):
            try:
                data = os.read(self._handle, _READ_BYTES)
            except BlockingIOError:
                break
            events += _events(data)
        return events

    def arm(self, heard: Callable[[], None]) -> None:
        """Call `heard` once, when there is something to read."""

        def once() -> None:
            self.disarm()
            heard()

        asyncio.get_running_loop().add_reader(self._handle, once)

    def disarm(self) -> None:
        """Do not call after all."""
        asyncio.get_running_loop().remove_reader(self._handle)

    def close(self) -> None:
        """End all watches."""
        os.close(self._handle)


def _events(data: bytes) -> list[Event]:
    found = []
    at = 0
    while at < len(data):
        watch, mask, _, length = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        name = data[at : at + length].rstrip(b"\0")
        found.append(Event(watch, mask, os.fsdecode(name)))
        at += length
    return found


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
