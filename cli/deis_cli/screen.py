"""What a command prints: lines, action lines, blocks, and data under `-o json` (cli.md 5)."""

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from deis_cli.spinner import Spinner


class Screen:
    """Human text to `out`, diagnostics to `err`; only data on `out` when `data_only`."""

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        self.data_only = False
        self._open = False
        self._spinner = Spinner(self.err)

    def line(self, text: str = "") -> None:
        """A line of the human answer."""
        self.write(text + "\n")

    def write(self, text: str) -> None:
        """Text of the human answer, at once."""
        if not self.data_only:
            self._spinner.stop()
            self.out.write(text)
            self.out.flush()

    def begin(self, text: str) -> None:
        """`Creating Application... `, to be ended by `done`."""
        self.write(f"{text}... ")
        self._open = not self.data_only
        self.wait()

    def wait(self) -> None:
        """Something slow begins: show on a terminal that we live, until the next output."""
        if not self.data_only:
            self._spinner.start()

    def done(self, text: str = "done") -> None:
        """End what `begin` began."""
        self._open = False
        self.line(text)

    def close(self) -> None:
        """Nothing more is said: end what is open still, after a Ctrl-C for one."""
        self._spinner.stop()
        if self._open:
            self.done("")

    def note(self, text: str) -> None:
        """A diagnostic line; on a terminal below an open action line, not behind it."""
        self._spinner.stop()
        if self._open and self.err.isatty():
            self._open = False
            self.err.write("\n")
        self.err.write(text + "\n")
        self.err.flush()

    def error(self, text: str) -> None:
        """The one line that tells of a failure; ends an open action line first."""
        if self._open:
            self.done("")
        self.note(f"Error: {text}")

    def data(self, value: Any) -> None:
        """The answer as JSON."""
        self._spinner.stop()
        self.out.write(json.dumps(value, ensure_ascii=False) + "\n")
        self.out.flush()

    def raw(self, data: bytes, *, error: bool = False) -> None:
        """Bytes of a remote program, as they are."""
        self._spinner.stop()
        stream = self.err if error else self.out
        buffer = getattr(stream, "buffer", None)
        if buffer is None:
            stream.write(data.decode(errors="replace"))
        else:
            stream.flush()
            buffer.write(data)
        stream.flush()

    def padded(self, values: Mapping[str, str], extra: int = 5) -> None:
        """A key/value block: keys sorted, padded to the longest and some (cli.md 5.1)."""
        width = max((len(key) for key in values), default=0) + extra
        for key in sorted(values, key=str.encode):
            self.line(f"{key:<{width}}{values[key]}")

    def block(self, pairs: Iterable[tuple[str, str]]) -> None:
        """A detail block: labels padded to the longest, one space, value."""
        rows = [(f"{label}:", value) for label, value in pairs]
        width = max((len(label) for label, _ in rows), default=0)
        for label, value in rows:
            self.line(f"{label:<{width}} {value}".rstrip())


def header(subject: str, shown: int = 0, count: int = 0) -> str:
    """`=== Apps (2 of 5)`; the numbers only where they differ."""
    return f"=== {subject}" + (f" ({shown} of {count})" if shown != count else "")
