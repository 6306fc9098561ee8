"""The build's output: titles behind an arrow, details indented by seven columns."""

import sys

ARROW = "-----> "
INDENT = " " * 7
UNITS = "BKMGT"


def title(text: str) -> None:
    """A stage begins."""
    _line(ARROW + text)


def detail(text: str) -> None:
    """One line about the present stage."""
    _line(INDENT + text)


def relay(line: str) -> None:
    """A line of a buildpack: its own titles stand as they are, all else is indented."""
    text = line.rstrip()
    _line(text if text.startswith(("--", "==", INDENT)) or not text else INDENT + text)


def human(size: int) -> str:
    """A size as `du -h` writes it: 812B, 41M."""
    value, unit = float(size), 0
    while value >= 1024 and unit < len(UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f}{UNITS[unit]}" if unit and value < 10 else f"{round(value)}{UNITS[unit]}"


def _line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
