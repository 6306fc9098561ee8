"""Places in the public log: `<epoch>-<sequence>` (DESIGN 4, Where events come from; pure).

The sequence is that of the last event seen, so a reader goes on behind it; 0 stands before the
first. The epoch changes when the log was made anew, so an old place is noticed instead of being
taken for another.
"""

import msgspec

BEGINNING = "beginning"
NOW = "now"
MAX_DIGITS = 18


class Cursor(msgspec.Struct, frozen=True):
    """A place behind an event; `str()` is its public form."""

    epoch: str
    sequence: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.sequence}"


class BadCursor(ValueError):
    """Not a cursor at all (400)."""


class Gone(Exception):
    """That place is no longer there (410); `oldest` is where reading can begin."""

    def __init__(self, oldest: Cursor) -> None:
        super().__init__(f"these events are no longer kept; the oldest cursor is {oldest}")
        self.oldest = oldest


def parse(text: str) -> Cursor:
    """The cursor of its public form. Raises BadCursor."""
    epoch, dash, number = text.rpartition("-")
    whole = number.isascii() and number.isdigit() and len(number) <= MAX_DIGITS
    if not dash or not epoch.isalnum() or not whole:
        raise BadCursor(f"not a cursor, {BEGINNING!r} or {NOW!r}: {text[:80]!r}")
    return Cursor(epoch, int(number))


def start(text: str, epoch: str, bounds: tuple[int, int]) -> int:
    """The sequence to read from, for a cursor, `beginning` or `now`.

    `epoch` and `bounds` (first and last sequence held) are the stream's. Raises BadCursor, or
    Gone for an unknown epoch, a trimmed sequence, or one that was never given.
    """
    first, last = bounds
    if text == BEGINNING:
        return first
    if text == NOW:
        return last + 1
    cursor = parse(text)
    if cursor.epoch != epoch or not first - 1 <= cursor.sequence <= last:
        raise Gone(Cursor(epoch, first - 1))
    return cursor.sequence + 1
