"""One container's log files, read in the order they were written (decision 0020).

A file has a `Key` that stays when it is renamed or compressed. `Tail.read` gives lines; `commit`
says that those given so far arrived, `rollback` that they have to be given again. The file being
read stays open, so that what is deleted or renamed meanwhile is still read to its end.
"""

from collections.abc import Mapping

import msgspec

from deis_platform.loglines import platform_text
from deis_platform.logs import get_logger
from deis_services.shipper.files import Content, LogFolder, close
from deis_services.shipper.listing import Counts, File, listed
from deis_services.shipper.model import Key, Pod, Position
from deis_services.shipper.parse import Parser

log = get_logger(__name__)

LINE_GUESS = 100.0
"""Bytes of a line, where none was read."""
CHUNK_BYTES = 64 * 1024
"""Read at a time; then it is another container's turn."""
AWAY = "some lines are lost: their files were removed while nobody was there to read them"


class Portion(msgspec.Struct, frozen=True):
    """Lines in order; `first` is the number of the first one, in `source`. No source: a notice."""

    lines: list[bytes]
    source: str = ""
    first: int = 0


class _Held:
    """The file that is being read; `name` is empty once it has none any more."""

    def __init__(self, file: File, content: Content, begin: Position, source: str) -> None:
        self.name = file.named.name
        self.key = file.key
        self.content = content
        self.inode = file.inode
        self.source = source
        self.before: _Held | None = None
        """The file before it, as long as a line of that one goes on in this one."""
        self.begin(begin)

    def begin(self, position: Position) -> None:
        """Go on from there."""
        self.parser = Parser(self.source.encode())
        self.before = None
        self.at = position.offset
        self.lines = position.lines
        """Given of this file so far."""


class Tail:
    """What is read of one container; `saved` is what is known from before, oldest file first."""

    def __init__(
        self,
        logs: LogFolder,
        pod: Pod,
        container: str,
        counts: Counts,
        saved: Mapping[Key, Position],
    ) -> None:
        self.pod = pod
        self.container = container
        self.gone = False
        """Its folder was deleted."""
        self._logs = logs
        self._counts = counts
        self._taken = dict(saved)
        self._given: dict[Key, Position] = {}
        """Positions that were not confirmed yet."""
        self._sizes = {key: position.size for key, position in saved.items()}
        self._tried: dict[Key, int] = {}
        """The size up to which there was nothing more to take from a file: no whole entry."""
        self._files: dict[Key, File] = {}
        self._queue: list[File] = []
        """Those with something to read, the earliest last."""
        self._dirty = True
        self._again = False
        """Whether what was given has to be given again, from the earliest file on."""
        self._last = [*saved][-1] if saved else None
        """The newest file of before, until it is clear what has become of it."""
        self._held: _Held | None = None
        self._left: _Held | None = None
        """The file that was left in the middle of a line, until the next one is opened."""
        self._waited: int | None = None
        """Where an open line was found waiting for its rest."""
        self._settle = False
        """Whether it has waited long enough."""
        self._notices: list[bytes] = []
        self._noticed = 0

    @property
    def opened(self) -> bool:
        """Whether it holds a file open."""
        return self._held is not None

    @property
    def finished(self) -> bool:
        """Nothing will come any more, and all there was is confirmed."""
        return self.gone and not (self._held or self._given or self._notices)

    def positions(self) -> dict[Key, Position]:
        """What is confirmed, oldest file first."""
        self._measure()
        files = sorted(self._files.values(), key=lambda file: file.named)
        keys = dict.fromkeys(file.key for file in files)
        if self._held is not None and self._held.key not in keys:
            keys = {self._held.key: None, **keys}
        return {key: self._confirmed(key) for key in keys}

    def behind(self) -> int:
        """Bytes that are there and not read."""
        self._measure()
        return sum(max(0, size - self._position(key).offset) for key, size in self._sizes.items())

    def _measure(self) -> None:
        """What is read grows meanwhile."""
        if self._held is not None:
            size = max(self._held.content.size(), self._sizes.get(self._held.key, 0))
            self._sizes[self._held.key] = size

    def touched(self, name: str) -> None:
        """Something was written to this file."""
        if self._held is not None and self._held.name == name:
            return
        if not any(file.named.name == name and self._unread(file) for file in self._files.values()):
            self._dirty = True

    def moved(self) -> None:
        """Names have changed."""
        self._dirty = True

    def commit(self) -> None:
        """All that was given has arrived."""
        self._taken.update(self._given)
        for key in [*self._given]:
            if key not in self._files and (self._held is None or self._held.key != key):
                self._forget(key)
        self._given.clear()
        del self._notices[: self._noticed]
        self._noticed = 0

    def rollback(self) -> None:
        """Some of it may not have arrived: give it again."""
        self._given.clear()
        self._tried.clear()
        self._noticed = 0
        self._dirty = True
        self._again = True
        self._left = None
        if self._held is not None:
            self._held.begin(self._position(self._held.key))

    @property
    def waits(self) -> bool:
        """Whether a line has begun whose rest may never come: its container ended, say."""
        return self._held is not None and self._held.parser.open

    def tick(self) -> bool:
        """Called now and then while it `waits`; gives whether it has waited long enough."""
        at = self._held.at if self._held else None
        self._settle = self._waited == at
        self._waited = at
        return self._settle

    def close(self) -> None:
        """Close the file, unless it can never be opened again."""
        if self._held is not None and self._held.name:
            self.release()

    def release(self) -> None:
        """Close the file; it is opened again when there is more in it."""
        if self._held is not None:
            close(self._held.content)
            if self._held.parser.open:  # its beginning has to be read again
                for begun in filter(None, (self._held, self._held.before)):
                    self._tried.pop(begun.key, None)
            self._held = None
            self._dirty = True

    def read(self) -> Portion | None:
        """The next lines, without any where it has only come closer to them; None: no more now."""
        if self._dirty:
            self._look()
        if self._noticed < len(self._notices):
            notices, self._noticed = self._notices[self._noticed :], len(self._notices)
            return Portion(notices)
        held = self._held or self._open_next()
        if held is None:
            return None
        data = held.content.read(held.at, CHUNK_BYTES)
        if data is None:
            return Portion([])
        return self._give(held, data) or self._exhausted(held, held.at + len(data))

    def _give(self, held: _Held, data: bytes) -> Portion | None:
        fed = held.parser.feed(data)
        if not fed.consumed:
            return None
        self._counts.malformed += held.parser.malformed
        held.parser.malformed = 0
        first, at = held.lines, held.at
        held.lines += len(fed.lines)
        held.at += fed.consumed
        if fed.safe is not None:
            self._give_up_to(held, at + fed.safe, first + fed.safe_lines)
        self._sizes[held.key] = max(self._sizes.get(held.key, 0), at + len(data))
        return Portion(fed.lines, self._source(held.key), first)

    def _exhausted(self, held: _Held, size: int) -> Portion | None:
        """The end of the file for now; where another one has more, it is left."""
        there = self._files.get(held.key)  # a broken one may promise more than it has
        self._tried[held.key] = max(size, there.size if there else 0)
        following = None if self.gone else self._next()
        if following is None and not self.gone:
            return self._end_line(held) if self._settle and held.parser.open else None
        if following is not None and held.parser.open and self._goes_on(held, following):
            self._left = held
            portion = Portion([])
        else:
            portion = self._end_line(held)
        if held.key not in self._files:
            self._sizes[held.key] = held.at
            self._dirty = True
        close(held.content)
        self._held = None
        return portion

    def _goes_on(self, held: _Held, following: File) -> bool:
        """Rotated in the middle of a line, which has not been joined before."""
        file = self._files.get(held.key)
        return (
            following.key.restart == held.key.restart
            and (file is None or file.named < following.named)
            and self._position(following.key).offset == 0
        )

    def _end_line(self, held: _Held) -> Portion:
        """What is open does not go on."""
        self._settle = False
        first, lines = held.lines, held.parser.end()
        held.lines += len(lines)
        self._give_up_to(held, held.at, held.lines)
        return Portion(lines, self._source(held.key), first)

    def _give_up_to(self, held: _Held, offset: int, lines: int) -> None:
        self._given[held.key] = Position(offset, lines)
        if held.before is not None:  # whose last line has ended, too
            self._given[held.before.key] = Position(held.before.at, held.before.lines)
            held.before = None

    def _open_next(self) -> _Held | None:
        """Hold the earliest file that has something to read."""
        while (file := self._next()) is not None:
            try:
                content = self._logs.open(self._folder, file.named.name, file.named.packed)
            except OSError as fault:
                self._unreadable(file, fault)
                continue
            if content.inode() == file.inode:
                begin = self._position(file.key)
                self._held = _Held(file, content, begin, self.pod.source)
                self._join(self._held)
                return self._held
            close(content)
            self._look()  # renamed since
        return None

    def _join(self, held: _Held) -> None:
        left, self._left = self._left, None
        if left is not None and held.at == 0 and left.key.restart == held.key.restart:
            held.parser.go_on(left.parser)
            held.before = left

    def _unreadable(self, file: File, fault: OSError) -> None:
        del self._files[file.key]
        self._queue.remove(file)
        self._dirty = True
        if not isinstance(fault, FileNotFoundError):
            self._counts.refused += 1
            log.warning("log file cannot be read", file=file.named.name, fault=str(fault))

    def _next(self) -> File | None:
        """The earliest file that has something to read."""
        while self._queue and not self._unread(self._queue[-1]):
            self._queue.pop()
        return self._queue[-1] if self._queue else None

    def _unread(self, file: File) -> bool:
        return file.size > max(self._position(file.key).offset, self._tried.get(file.key, 0))

    def _look(self) -> None:
        """What lies there now: new files, renamed ones, and what is not there any more."""
        held = (self._held.inode, self._held.key) if self._held else None
        try:
            self._files = listed(self._logs, self._folder, self._files.values(), held, self._counts)
            self.gone = False
        except (FileNotFoundError, NotADirectoryError):
            self._files, self.gone = {}, True
        unread = filter(self._unread, self._files.values())
        self._queue = sorted(unread, key=lambda file: file.named, reverse=True)
        for key, file in self._files.items():
            self._sizes[key] = max(file.size, self._sizes.get(key, 0))
        if self._held is not None:
            there = self._files.get(self._held.key)
            self._held.name = there.named.name if there else ""
            if self._again and there:
                self.release()  # an earlier one may come first again
        self._again = self._dirty = False
        self._miss()

    def _miss(self) -> None:
        """Tell of what was removed before it was read."""
        held = self._held.key if self._held else None
        for key in [*self._sizes]:
            if key in self._files or key in self._given or key == held:
                continue
            known = self._confirmed(key)
            if known.missing and self._tried.get(key, 0) < known.size:
                self._lost(max(1, round(known.missing / self._mean())))
            self._forget(key)
        last, self._last = self._last, None
        if last is None or last in self._files or last == held:
            return
        if any(key.restart == last.restart for key in self._files):
            self._counts.lost += 1
            self._notices.append(_notice(AWAY))

    def _lost(self, lines: int) -> None:
        self._counts.lost += lines
        told = f"about {lines} lines of {self.pod.name} are lost: their file was removed too early"
        self._notices.append(_notice(told))

    def _mean(self) -> float:
        """Bytes of a line of this container, as far as one knows."""
        known = [self._position(key) for key in self._sizes]
        lines = sum(position.lines for position in known)
        return sum(position.offset for position in known) / lines if lines else LINE_GUESS

    def _forget(self, key: Key) -> None:
        for known in (self._taken, self._sizes, self._tried, self._given):
            known.pop(key, None)

    def _position(self, key: Key) -> Position:
        return self._given.get(key) or self._taken.get(key) or Position()

    def _confirmed(self, key: Key) -> Position:
        known = self._taken.get(key) or Position()
        return Position(known.offset, known.lines, self._sizes.get(key, 0))

    @property
    def _folder(self) -> tuple[str, str]:
        return self.pod.folder, self.container

    def _source(self, key: Key) -> str:
        return f"{self.pod.uid}/{self.container}/{key.restart}/{key.first}"


def _notice(text: str) -> bytes:
    return platform_text("shipper", "WARNING", text).encode()
