"""Which lines of a log that is followed anew come behind those that were given before.

The platform gives its newest lines once more; the last line that we gave is looked for among
them. It may be gone: the logger was started anew, or more lines than it keeps came meanwhile.
Then time stamps decide, which count in seconds, and what was given before within a second.
"""

import re
from collections import Counter
from collections.abc import Sequence

_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\S+")


class Resume:
    """Takes the lines of one answer in order, gives those that are new."""

    def __init__(self, given: Sequence[str]) -> None:
        self._last = given[-1] if given else ""
        self._given = Counter(given)
        self._held: list[str] = []
        self.searching = bool(given)
        """The last line was not found yet: lines are held back."""

    def take(self, line: str) -> list[str]:
        """The new lines, now that this one came."""
        if not self.searching:
            return [] if self._was_given(line) else [line]
        if line == self._last:
            self.searching = False
            # It may have been given several times, and so may come several times.
            self._given = Counter({line: self._given[line] - 1})
            self._held.clear()
            return []
        self._held.append(line)
        return self.give_up() if _stamp(line) > _stamp(self._last) else []

    def give_up(self) -> list[str]:
        """The last line does not come any more: what was held back and is new."""
        self.searching = False
        held, self._held = self._held, []
        first = _stamp(self._last)
        return [line for line in held if _stamp(line) >= first and not self._was_given(line)]

    def _was_given(self, line: str) -> bool:
        if self._given[line] <= 0:
            return False
        self._given[line] -= 1
        return True


def _stamp(line: str) -> str:
    match = _STAMP.match(line)
    return match[0] if match else ""
