"""Where the services' lines go: all into one bounded file, warnings to the terminal as well."""

import contextlib
import re
from io import TextIOBase
from pathlib import Path
from typing import TextIO

FILE_BYTES = 20_000_000
GRAVE = re.compile(r"^\S+ (WARNING|ERROR|CRITICAL) ")


class PlatformLog(TextIOBase):
    """A text stream for `logs.set_up`; the file before the present one is kept as `.1`."""

    def __init__(self, path: Path, terminal: TextIO | None = None) -> None:
        self._path = path
        self._terminal = terminal
        self._file = self._open()
        path.chmod(0o600)

    def write(self, text: str) -> int:
        """One record, whole; a full disk loses lines but stops nobody (the terminal may be on it)."""
        with contextlib.suppress(OSError):
            self._keep(text)
        if self._terminal is not None and GRAVE.match(text):
            with contextlib.suppress(OSError):
                self._terminal.write(text.partition("\n")[0] + "\n")
                self._terminal.flush()
        return len(text)

    def flush(self) -> None:
        """Lines are written as they come."""

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            self._file.close()
        super().close()

    def _open(self) -> TextIO:
        return self._path.open("a", encoding="utf-8", buffering=1)

    def _keep(self, text: str) -> None:
        if self._file.closed:  # the file could not be turned, or what was left not be written
            self._file = self._open()
        self._file.write(text)
        if self._file.tell() > FILE_BYTES:
            self._file.close()
            self._path.replace(self._path.with_suffix(".log.1"))
            self._file = self._open()
