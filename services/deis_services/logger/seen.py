"""Which numbered lines were taken already, so that none is shown twice (contracts/logs.py; pure).

A source numbers its lines. What was sent and not confirmed is sent again, in other batches, and
perhaps after later lines: so spans of numbers are kept, normally one a source, which grows.
"""

from collections import OrderedDict

SOURCES = 10_000
"""Remembered, those heard of last."""
SPANS = 16
"""Of one source; beyond that the oldest is forgotten: rather a line twice than a line lost."""

Span = tuple[int, int]


class Seen:
    """The numbers taken so far, by source."""

    def __init__(self) -> None:
        self.doubles = 0
        """Lines that were there already, so far."""
        self._sources: OrderedDict[str, list[Span]] = OrderedDict()

    def fresh(self, source: str, first: int, lines: list[bytes]) -> list[bytes]:
        """Those of `lines`, numbered from `first` on, that were not taken yet; they are now."""
        spans = self._spans(source)
        end = first + len(lines)
        if spans and spans[-1][1] == first:
            spans[-1] = (spans[-1][0], end)
            return lines
        new = [line for number, line in enumerate(lines, first) if not _within(spans, number)]
        spans[:] = _merged([*spans, (first, end)])[-SPANS:]
        self.doubles += len(lines) - len(new)
        return new

    def has(self, source: str, first: int, end: int) -> bool:
        """Whether the lines from `first` up to `end` were taken."""
        spans = self._sources.get(source, ())
        return any(start <= first and end <= stop for start, stop in spans)

    def _spans(self, source: str) -> list[Span]:
        spans = self._sources.setdefault(source, [])
        self._sources.move_to_end(source)
        if len(self._sources) > SOURCES:
            self._sources.popitem(last=False)
        return spans


def _within(spans: list[Span], number: int) -> bool:
    return any(start <= number < end for start, end in spans)


def _merged(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
