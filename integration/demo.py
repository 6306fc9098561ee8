"""`make demo`: the main job on a sample application, shown as a person would see it."""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from deis_platform.trees import remove_tree
from deis_services.platform_cli.options import closed_to_others
from integration.person import Person
from integration.platform_up import platform_up
from integration.scenario import Scenario

FOLDER = Path(__file__).resolve().parent.parent / ".demo"


def say(text: str) -> None:
    """A line for the reader."""
    print(text if text.startswith((">", "The sub", "release of")) else f"\n## {text}", flush=True)


def echo(text: str) -> None:
    """What a terminal would show."""
    if text:
        print(text, flush=True)


def table(stages: dict[str, dict[str, float]]) -> str:
    """Where the seconds of each push went, a column per push."""
    rows = list(dict.fromkeys(name for taken in stages.values() for name in taken))
    width = max(len(name) for name in [*rows, "stage"])
    head = f"{'stage':<{width}}" + "".join(f"{title:>14}" for title in stages)
    lines = [head, "-" * len(head)]
    for name in rows:
        cells = (
            f"{taken[name]:>12.3f} s" if name in taken else " " * 14 for taken in stages.values()
        )
        lines.append(f"{name:<{width}}" + "".join(cells))
    total = "".join(f"{sum(taken.values()):>12.3f} s" for taken in stages.values())
    return "\n".join([*lines, "-" * len(head), f"{'total':<{width}}{total}"])


def new_folder() -> Path:
    """One of its own: `.demo` here, unless as root applications' users cannot get here."""
    if os.geteuid() == 0 and closed_to_others(FOLDER) is not None:
        folder = Path(tempfile.mkdtemp(prefix="deis-demo-"))
    else:
        folder = FOLDER
        remove_tree(folder)
        folder.mkdir()
    folder.chmod(0o711)
    return folder


async def main() -> int:
    """Run it in a folder of its own, which is removed at the end."""
    folder = new_folder()
    try:
        say("Start the platform")
        async with platform_up(folder / "data") as platform:
            print((folder / "data.out").read_text().rstrip())
            scenario = Scenario(platform, Person(folder / "home", echo), say)
            await scenario.run()
        say("Where the seconds of each push went")
        print(table(scenario.stages))
    except Exception as fault:  # noqa: BLE001 - shown to the person, and the exit code says it
        print(f"\nThe demo failed: {fault}", file=sys.stderr)
        log = folder / "data" / "logs" / "platform.log"
        if log.exists():
            print(log.read_text(errors="replace")[-4000:], file=sys.stderr)
        return 1
    finally:
        remove_tree(folder)
    print("\nEverything did what it claims.")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
