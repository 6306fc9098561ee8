"""Waits for what a cluster does in its own time, with a limit."""

import time
from collections.abc import Callable

PAUSE_SECONDS = 0.1


def until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Ask again and again until `condition()`; AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        time.sleep(PAUSE_SECONDS)
