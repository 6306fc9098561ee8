"""Log lines taken apart, as far as filters need it (components.md 7.8; pure)."""

import re

import msgspec

_SOURCE = re.compile(
    rb"\S+ (?P<app>[^\s\[]+)\[(?P<type>[^\].]+)(?:\.v\d+)?(?:\.(?P<suffix>\w+))?\]:"
)
_PLATFORM = b"deis"


class Wanted(msgspec.Struct, frozen=True):
    """Which lines to give; empty fields want everything.

    A line tells only the last part of an instance's name, so that is what is compared.
    """

    process_type: str = ""
    suffix: str = ""

    def takes(self, line: bytes) -> bool:
        """Whether this line is wanted; lines of the platform itself belong to no process."""
        if not self.process_type and not self.suffix:
            return True
        match = _SOURCE.match(line)
        if match is None or match["app"] == _PLATFORM:
            return False
        of_type = not self.process_type or match["type"] == self.process_type.encode()
        return of_type and (not self.suffix or match["suffix"] == self.suffix.encode())


def wanted(process_type: str, instance: str) -> Wanted:
    """The filter of a request: `instance` is a whole name or only its last part."""
    return Wanted(process_type, instance.rpartition("-")[2])
