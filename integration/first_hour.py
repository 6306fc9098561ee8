"""The README's first hour, out of a real run of the scenario.

    python -m integration.first_hour     runs the scenario and writes the README's block anew

The acceptance test compares the block with what its own run printed, times and names left out.
"""

import asyncio
import re
import sys
import tempfile
from pathlib import Path

from integration.person import Person
from integration.platform_up import Platform, platform_up
from integration.scenario import NAME, Scenario

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- first hour: begin -->", "<!-- first hour: end -->"
SHOWN = (
    "deis register", "deis keys:add", "deis create", "git push", "> http", "deis scale",
    "deis logs", "deis config:set", "deis run echo", "deis run 'echo", "deis rollback",
    "deis destroy",
)  # fmt: skip
"""Beginnings of what the README shows; each the first time only."""
LEFT_OUT = ("Warning: Permanently added", "** ", "...")
"""Beginnings of lines that come or not: of ssh, and the sign of life of a push that waits long."""
NORMAL = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|\+00:00)", "TIME"),
    (r"\[web\.v(\d+)\.\w+\]", r"[web.v\1.ID]"),
    (r"-web-\w{8,10}-\w{5}", "-web-ID"),
    (r"\b[0-9a-f]{7}\b", "SHA"),
    (r"\bin (\d+m )?\d+(\.\d+)?m?s\b", "in N"),
    (r"\d+(\.\d+)?(K|M)\b", "N"),
    (r"\d+(st|nd|rd|th) visit", "Nth visit"),
    (r"Python 3\.\d+(\.\d+)?", "Python 3"),
)


class Heard:
    """What a person typed and read, in the scenario's order."""

    def __init__(self) -> None:
        self.steps: list[list[str]] = []

    def line(self, text: str) -> None:
        """A command (`$ …`), a page (`> …`), or what came of it."""
        if text.startswith(("$ ", "> ")):
            self.steps.append([])
        if self.steps:
            self.steps[-1] += text.splitlines()

    def said(self, text: str) -> None:
        """A word of the scenario to its reader: only the pages belong here."""
        if text.startswith("> "):
            self.line(text)


def block(heard: Heard, platform: Platform, home: Path) -> str:
    """The README's text between its marks."""
    wanted, lines = list(SHOWN), []
    for step in heard.steps:
        command = step[0].removeprefix("$ ")
        found = next((words for words in wanted if command.startswith(words)), None)
        if found is None:
            continue
        wanted.remove(found)
        lines += [*_shown(step), ""]
    text = "\n".join(lines).replace(str(home), "~")
    ready = platform.ready
    for port, usual in ((ready["http_port"], 8000), (ready["ssh_port"], 2222)):
        text = text.replace(f":{port}", f":{usual}")
    return f"```console\n{text.rstrip()}\n```"


def _shown(step: list[str]) -> list[str]:
    lines = [line for line in step if not line.startswith(LEFT_OUT)]
    while lines[1:2] == [""]:
        del lines[1]
    if lines[0].startswith("> "):
        url, _, page = lines[0].removeprefix("> ").partition(" says: ")
        return [f"$ curl {url}", page]
    return lines


def normalised(text: str) -> list[str]:
    """The different lines in their order, without what differs between runs."""
    for pattern, word in NORMAL:
        text = re.sub(pattern, word, text)
    return list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


def in_readme() -> str:
    """The block as it is checked in."""
    return README.read_text().split(BEGIN)[1].split(END)[0].strip()


async def main() -> int:
    """Run the scenario and write the block."""
    heard = Heard()
    with tempfile.TemporaryDirectory(prefix="deis-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        async with platform_up(folder / "data") as platform:
            person = Person(folder / "home", heard.line)
            await Scenario(platform, person, heard.said).run()
            text = block(heard, platform, folder / "home")
    before, _, rest = README.read_text().partition(BEGIN)
    README.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")
    print(f"written for {NAME}")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
