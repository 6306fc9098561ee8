"""What a container runtime writes into a log file, as finished log lines (pure).

An entry is `TIME STREAM TAG TEXT`, e.g. `2026-01-31T20:53:31.379229973Z stdout F hello`. Tag `P`
is a part: the line goes on in the next entry of its stream, up to one with `F`. Both streams may
be in the middle of a line at once. What has no such shape is skipped and counted.
"""

import re

import msgspec

from deis_bus.contracts.logs import MAX_LINE_BYTES

MAX_ENTRY_BYTES = 32 * 1024
"""An entry without an end after so many bytes is taken piece by piece."""

_ENTRY = re.compile(
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,9})?(Z|[+-]\d\d:\d\d)"
    rb" (stdout|stderr) ([FP])(?::\S*)?(?: |$)"
)
_UTC = b"+00:00"


class Fed(msgspec.Struct, frozen=True):
    """What became of some bytes."""

    lines: list[bytes]
    """Finished ones: `<time> <app>[<type>.<version>.<suffix>]: <text>`."""
    consumed: int
    """Bytes that are done with; the rest is to come again, with more behind it."""
    safe: int | None
    """Up to here nothing was open, so that somebody may begin there; None: no such place."""
    safe_lines: int
    """Of `lines`, those before `safe`."""


class _Open:
    """A line that is not finished."""

    def __init__(self, head: bytes) -> None:
        self.head = head
        self.text = b""


class Parser:
    """Reads one file from some place on where no line is open."""

    def __init__(self, source: bytes) -> None:
        self.malformed = 0
        """Entries that were none, so far."""
        self._source = b" " + source + b": "
        self._open: dict[bytes, _Open] = {}
        self._inside: tuple[bytes, bool] | None = None
        """Stream and finality of an entry whose end did not come yet."""
        self._skipping = False
        """Within something that is no entry, and whose end did not come yet."""

    def feed(self, chunk: bytes) -> Fed:
        """Take the whole entries of these bytes, which follow those consumed last."""
        end = chunk.rfind(b"\n") + 1
        if not end:
            return self._endless(chunk)
        lines: list[bytes] = []
        at = 0
        safe: int | None = None
        safe_lines = 0
        for raw in chunk[: end - 1].split(b"\n"):
            self._take(raw, lines)
            at += len(raw) + 1
            if not self._open:
                safe, safe_lines = at, len(lines)
        return Fed(lines, end, safe, safe_lines)

    @property
    def open(self) -> bool:
        """Whether a line has begun and not ended."""
        return bool(self._open)

    def go_on(self, earlier: "Parser") -> None:
        """This file goes on where an earlier one ended: in the middle of a line, too."""
        self._open = earlier._open

    def end(self) -> list[bytes]:
        """Nothing follows: what is open ends here."""
        lines: list[bytes] = []
        for stream in list(self._open):
            self._finish(stream, lines)
        self._inside, self._skipping = None, False
        return lines

    def _take(self, raw: bytes, lines: list[bytes]) -> None:
        """A whole entry, or the end of one whose beginning was taken already."""
        if self._inside is not None or self._skipping:
            self._go_on(raw, lines)
            return
        entry = _ENTRY.match(raw)
        if entry is None:
            self.malformed += 1
            return
        time, zone, stream, tag = entry.groups()
        head = time + (_UTC if zone == b"Z" else zone) + self._source
        text = raw[entry.end() :]
        if tag == b"F" and not self._open and len(head) + len(text) <= MAX_LINE_BYTES:
            lines.append(head + text.removesuffix(b"\r"))  # nearly all of them
            return
        self._open.setdefault(stream, _Open(head))
        self._append(stream, text, lines)
        if tag == b"F":
            self._finish(stream, lines)

    def _go_on(self, raw: bytes, lines: list[bytes]) -> None:
        inside, self._inside, self._skipping = self._inside, None, False
        if inside is None:
            return
        stream, final = inside
        self._append(stream, raw, lines)
        if final:
            self._finish(stream, lines)

    def _endless(self, chunk: bytes) -> Fed:
        """No entry ends here: take it in pieces, if there is more of it than one should be."""
        lines: list[bytes] = []
        if len(chunk) < MAX_ENTRY_BYTES:
            return Fed(lines, 0, None, 0)
        if self._inside is not None:
            self._append(self._inside[0], chunk, lines)
        elif not self._skipping and (entry := _ENTRY.match(chunk)):
            time, zone, stream, tag = entry.groups()
            head = time + (_UTC if zone == b"Z" else zone) + self._source
            self._open.setdefault(stream, _Open(head))
            self._append(stream, chunk[entry.end() :], lines)
            self._inside = (stream, tag == b"F")
        elif not self._skipping:
            self._skipping = True
            self.malformed += 1
        return Fed(lines, len(chunk), None, 0)

    def _append(self, stream: bytes, text: bytes, lines: list[bytes]) -> None:
        """Longer than a line may be: it becomes several, as on one machine."""
        line = self._open[stream]
        line.text += text
        room = max(1, MAX_LINE_BYTES - len(line.head))
        while len(line.text) > room:
            lines.append(line.head + line.text[:room])
            line.text = line.text[room:]

    def _finish(self, stream: bytes, lines: list[bytes]) -> None:
        line = self._open.pop(stream)
        lines.append(line.head + line.text.removesuffix(b"\r"))
