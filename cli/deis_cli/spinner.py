"""Frames that move while something takes its time; on a terminal only (cli.md 5.2)."""

import itertools
import threading
from typing import TextIO

FRAMES = ("...", "o..", ".o.", "..o")
SECONDS = 0.4
BACK = "\b" * 3


class Spinner:
    """Moves on a terminal's standard error, and leaves nothing behind when it stops.

    A thread, because the loop that waits for the platform is not ours to share.
    """

    def __init__(self, err: TextIO) -> None:
        self._err = err
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, where somebody can see it."""
        if self._thread is None and self._err.isatty():
            self._stop.clear()
            self._thread = threading.Thread(target=self._turn, daemon=True, name="spinner")
            self._thread.start()

    def stop(self) -> None:
        """Take the frame away, if there is one."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop.set()
            thread.join()

    def _turn(self) -> None:
        for frame in itertools.cycle(FRAMES):
            self._put(frame + BACK)
            if self._stop.wait(SECONDS):
                break
        self._put(" " * 3 + BACK)

    def _put(self, text: str) -> None:
        self._err.write(text)
        self._err.flush()
