"""Commands and files out of a page of docs/, as its reader takes them.

    ```sh        commands, a line each
    ```console   `$ ` and a command, then what it prints; `…` is a word or its end, alone any lines
    ```yaml      a file, whose first line is its name: `# values.yaml`

A page with any other block cannot be read, so nothing in it stays untried by mistake.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
FENCE = "```"
SHELL = re.compile(r"[|&;<`]|\$\(")
"""What only a shell understands; pages do without, but for `> FILE` at the end."""


@dataclass(frozen=True)
class Command:
    """One line that the reader types."""

    text: str
    """In one line, without its comment."""
    shown: tuple[str, ...] | None = None
    """What the page says that it prints; None: the page says nothing."""

    def words(self) -> list[str]:
        """The program and its arguments, without `> FILE`."""
        words = shlex.split(self.text)
        return words[: words.index(">")] if ">" in words else words

    def output(self) -> str:
        """The file that takes what it prints; "" where there is none."""
        return self.text.partition(" > ")[2].strip()

    def prints(self, text: str) -> bool:
        """Whether `text` is what the page shows; how wide columns are does not matter."""
        lines = [
            "(?:.*\n)*" if line.strip() == "…" else _pattern(line) for line in self.shown or ()
        ]
        said = "".join(f"{' '.join(line.split())}\n" for line in text.splitlines() if line.strip())
        return re.fullmatch("".join(lines), said) is not None


@dataclass(frozen=True)
class Page:
    """What can be typed, and what can be written into files."""

    commands: tuple[Command, ...]
    files: dict[str, str]
    """Content by name, without the line of the name; several blocks of one name are one text."""


def page(name: str) -> Page:
    """A page of docs/. Raises ValueError where it cannot be read, with the line of the block."""
    return read((DOCS / name).read_text(encoding="utf-8"))


def read(text: str) -> Page:
    """The same of a text."""
    commands: list[Command] = []
    files: dict[str, str] = {}
    for number, kind, lines in _blocks(text):
        if kind == "sh":
            commands += [_command(number, line) for line in _joined(lines)]
        elif kind == "console":
            commands += _session(number, lines)
        elif kind == "yaml" and lines and (name := re.fullmatch(r"# (\S+)", lines[0])):
            files[name[1]] = files.get(name[1], "") + "\n".join(lines[1:]) + "\n"
        else:
            raise ValueError(f"line {number}: neither commands nor a file with its name")
    return Page(tuple(commands), files)


def _blocks(text: str) -> Iterator[tuple[int, str, list[str]]]:
    """Number of the first line, language and lines of every block."""
    kind: str | None = None
    first, lines = 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if kind is None and line.startswith(FENCE):
            kind, first, lines = line.removeprefix(FENCE), number, []
        elif kind is not None and line == FENCE:
            yield first, kind, lines
            kind = None
        elif kind is not None:
            lines.append(line)
        elif FENCE in line or line.startswith("    "):
            raise ValueError(f"line {number}: a block that does not begin with {FENCE} at its left")
    if kind is not None:
        raise ValueError(f"line {first}: a block without an end")


def _joined(lines: list[str]) -> list[str]:
    """Lines that end with a backslash go on in the next one; empty ones are left out."""
    return [line for line in "\n".join(lines).replace("\\\n", "").split("\n") if line.strip()]


def _session(number: int, lines: list[str]) -> Iterator[Command]:
    before, *parts = re.split(r"^\$ ", "\n".join(_joined(lines)), flags=re.MULTILINE)
    if before or not parts:
        raise ValueError(f"line {number}: a session begins with `$ ` and a command")
    for part in parts:
        first, *shown = part.splitlines()
        yield _command(number, first, tuple(shown))


def _command(number: int, line: str, shown: tuple[str, ...] | None = None) -> Command:
    text = " ".join(re.split(r"\s{2,}#\s", line)[0].split())
    if SHELL.search(re.sub(r"'[^']*'", "", text)):
        raise ValueError(f"line {number}: needs a shell: {text}")
    return Command(text, shown)


def _pattern(line: str) -> str:
    return re.escape(" ".join(line.split())).replace("…", r"\S+") + "\n"
