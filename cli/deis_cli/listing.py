"""How processes and log lines look (cli.md 5, 6.1, 6.16)."""

from typing import TYPE_CHECKING

from deis_cli.screen import Screen, header

if TYPE_CHECKING:
    from deis_cli.core.models import Pod

_COLOURS = ("31", "32", "33", "34", "36", "39")
_MAGENTA = "35"


def processes(screen: Screen, app: str, pods: "list[Pod]") -> None:
    """Instances by type, both sorted."""
    screen.line(header(f"{app} Processes"))
    for kind in sorted({pod.type for pod in pods}):
        screen.line(f"--- {kind}:")
        for pod in sorted((pod for pod in pods if pod.type == kind), key=lambda pod: pod.name):
            screen.line(f"{pod.name} {pod.state} ({pod.release})")


def log_line(line: str, *, colour: bool) -> str:
    """A line of a log; one colour per process, magenta for the platform's own."""
    if not colour:
        return line
    words = line.split(" ", 3)
    source = words[1] if len(words) > 1 else line
    code = _COLOURS[sum(source.encode()) % len(_COLOURS)]
    if len(words) > 2 and words[2] == "INFO":
        code = _MAGENTA
    return f"\x1b[{code}m{line}\x1b[0m"
