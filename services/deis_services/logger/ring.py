"""The newest lines of every application, bounded (DESIGN 9; pure).

Each application, by identity and never by name, keeps its newest lines. All of them together keep
to a number of bytes: when it is passed, the largest give up their older half first, so an
application that writes little loses nothing to one that writes much.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable

from deis_services.logger.parse import Wanted

LINE_OVERHEAD = 64
"""What the interpreter needs for a line beside its bytes."""
RING_OVERHEAD = 1024
REMEMBERED = 10_000
"""Identities whose late lines are refused."""
FREED = 0.9
"""Down to this part of the limit at once, so that it is not passed again by the next line."""

EVERYTHING = Wanted()


class Ring:
    """The lines of one application."""

    def __init__(self, lines: int) -> None:
        self.lines: deque[bytes] = deque()
        self.size = RING_OVERHEAD
        self._limit = lines

    def add(self, line: bytes) -> None:
        """Append; the oldest goes when there are too many."""
        if len(self.lines) >= self._limit:
            self.drop_oldest()
        self.lines.append(line)
        self.size += len(line) + LINE_OVERHEAD

    def drop_oldest(self) -> None:
        """One line less."""
        self.size -= len(self.lines.popleft()) + LINE_OVERHEAD


class Rings:
    """All applications; `size` is what they take, in bytes."""

    def __init__(self, *, lines: int, line_bytes: int, total_bytes: int) -> None:
        self.size = 0
        self.evicted = 0
        """Lines given up because of the total, so far."""
        self._lines = lines
        self._line_bytes = line_bytes
        self._total_bytes = total_bytes
        self._rings: dict[str, Ring] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()

    def add(self, appuuid: str, lines: Iterable[bytes]) -> list[bytes]:
        """Append lines, cut to their limit; gives those that were taken.

        Lines of a dropped application are late ones: they are not taken.
        """
        if appuuid in self._gone:
            return []
        taken = [line[: self._line_bytes] for line in lines if line]
        if not taken:
            return []
        ring = self._rings.get(appuuid)
        if ring is None:
            ring = self._rings[appuuid] = Ring(self._lines)
            self.size += ring.size
        before = ring.size
        for line in taken:
            ring.add(line)
        self.size += ring.size - before
        if self.size > self._total_bytes:
            self._evict()
        return taken

    def tail(self, appuuid: str, count: int, wanted: Wanted = EVERYTHING) -> list[bytes]:
        """The newest `count` lines that are wanted, oldest first."""
        ring = self._rings.get(appuuid)
        found: deque[bytes] = deque()
        for line in reversed(ring.lines) if ring else ():
            if len(found) >= count:
                break
            if wanted.takes(line):
                found.appendleft(line)
        return list(found)

    def drop(self, appuuid: str) -> bool:
        """Forget an application for good; False when nothing was kept of it."""
        self._gone[appuuid] = None
        self._gone.move_to_end(appuuid)
        while len(self._gone) > REMEMBERED:
            self._gone.popitem(last=False)
        return self._remove(appuuid)

    def appuuids(self) -> list[str]:
        """Whose lines are kept."""
        return list(self._rings)

    def _remove(self, appuuid: str) -> bool:
        ring = self._rings.pop(appuuid, None)
        self.size -= ring.size if ring else 0
        return ring is not None

    def _evict(self) -> None:
        goal = int(self._total_bytes * FREED)
        while self.size > goal and self._rings:
            for appuuid in sorted(self._rings, key=lambda uuid: -self._rings[uuid].size):
                self._halve(appuuid)
                if self.size <= goal:
                    return

    def _halve(self, appuuid: str) -> None:
        ring = self._rings[appuuid]
        half = (len(ring.lines) + 1) // 2
        before = ring.size
        for _ in range(half):
            ring.drop_oldest()
        self.evicted += half
        self.size += ring.size - before
        if not ring.lines:
            self._remove(appuuid)
