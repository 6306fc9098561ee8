"""`make demo`: the main job on a sample application, shown as a person would see it."""

import asyncio
import sys
from pathlib import Path

from deis_platform.trees import remove_tree
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


async def main() -> int:
    """Run it in a folder of its own, which is removed at the end."""
    remove_tree(FOLDER)
    FOLDER.mkdir(mode=0o755)
    try:
        say("Start the platform")
        async with platform_up(FOLDER / "data") as platform:
            print((FOLDER / "data.out").read_text().rstrip())
            scenario = Scenario(platform, Person(FOLDER / "home", echo), say)
            await scenario.run()
        say("Where the seconds of each push went")
        print(table(scenario.stages))
    except Exception as fault:  # noqa: BLE001 - shown to the person, and the exit code says it
        print(f"\nThe demo failed: {fault}", file=sys.stderr)
        log = FOLDER / "data" / "logs" / "platform.log"
        if log.exists():
            print(log.read_text(errors="replace")[-4000:], file=sys.stderr)
        return 1
    finally:
        remove_tree(FOLDER)
    print("\nEverything did what it claims.")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
