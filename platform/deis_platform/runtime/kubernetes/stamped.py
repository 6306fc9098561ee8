"""Takes the times off a container's log, and tells its lines from others by them. Pure.

A kubelet that cannot go on following a log, for its container runtime was started just now or is
slow, writes its own fault behind the output and ends the answer as if it were whole. Where the log
is read with `timestamps`, each line begins with its time, and what does not is no output.
"""

import re

STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d) ")
LONGEST = 36
"""Bytes of a time and the space behind it."""


class Stamped:
    """One reading of a log, in chunks of any size."""

    def __init__(self) -> None:
        self.foreign = False
        """Something came that is no output; all after it is dropped."""
        self._held = b""
        """The beginning of a line, too short to tell."""
        self._within = False
        """The next byte belongs to a line whose time was there."""

    @property
    def whole(self) -> bool:
        """Whether everything until now was output."""
        return not self.foreign and not self._held

    def feed(self, chunk: bytes) -> bytes:
        """The output in it."""
        data, place, found = self._held + chunk, 0, []
        self._held = b""
        while place < len(data) and not self.foreign:
            if not self._within:
                stamp = STAMP.match(data, place)
                if stamp is None:
                    self._hold(data[place:])
                    break
                place = stamp.end()
            end = data.find(b"\n", place) + 1 or len(data)
            found.append(data[place:end])
            self._within = not data.endswith(b"\n", place, end)
            place = end
        return b"".join(found)

    def _hold(self, begun: bytes) -> None:
        self.foreign = len(begun) >= LONGEST
        self._held = b"" if self.foreign else begun
