"""Where the seconds of one generation went: fetching, starting, switching over (DESIGN 5)."""

import time
from collections.abc import Callable

NAMES = ("fetch", "start", "switch")
"""The slug on this machine; from there to everything ready; from there to in every router."""


class Stages:
    """Notes when each stage ended; only the first time counts, but for `fetch`."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began = now()
        self._ended: dict[str, float] = {}

    def fetched(self) -> None:
        """An artifact is there; the last one counts."""
        if "start" not in self._ended:
            self._ended["fetch"] = self._now()

    def complete(self) -> None:
        """Everything is ready."""
        self._ended.setdefault("start", self._now())

    def switched(self) -> None:
        """Every router knows."""
        self._ended.setdefault("switch", self._now())

    def seconds(self) -> dict[str, float]:
        """Seconds of each stage that has ended."""
        found: dict[str, float] = {}
        before = self._began
        for name in NAMES:
            if name in self._ended:
                found[name] = round(max(0.0, self._ended[name] - before), 3)
                before = self._ended[name]
        return found
