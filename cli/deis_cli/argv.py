"""The words of the command line made plain, before typer sees them (cli.md 1.1, 1.2, 13.1).

Resolves the profile option, shortcuts, default actions, the space form, `help X` and plugins;
nothing behind `--` is ever touched.
"""

from dataclasses import dataclass, field

from deis_cli.errors import FAILURE, USAGE
from deis_cli.registry import SHORTCUTS, TOPICS

HELP = ("-h", "--help")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done: `kind` is `run`, `help`, `topic`, `plugin` or `fault`."""

    kind: str
    name: str = ""
    """Full command name, topic, or plugin; of a fault its text."""
    words: list[str] = field(default_factory=list)
    profile: str = ""
    code: int = 0


def plan(argv: list[str]) -> Plan:
    """The plan of the words behind the program's name."""
    words, profile = _profile(argv)
    if profile is None:
        return Plan("fault", "-c and --config need the name of a profile", code=USAGE)
    made = _plan(words)
    return Plan(made.kind, made.name, made.words, profile, made.code)


def _profile(argv: list[str]) -> tuple[list[str], str | None]:
    """Take `-c X`, `-cX`, `--config X` and `--config=X` out, up to `--`; None where X is missing."""
    kept: list[str] = []
    profile: str | None = ""
    words = iter(argv)
    for word in words:
        if word == "--":
            return [*kept, word, *words], profile
        if word in ("-c", "--config"):
            profile = next(words, None)
        elif word.startswith("--config="):
            profile = word.removeprefix("--config=")
        elif word.startswith("-c") and not word.startswith("--"):
            profile = word[2:]
        else:
            kept.append(word)
    return kept, profile


def _plan(words: list[str]) -> Plan:
    if not words:
        return Plan("fault", "", code=FAILURE)
    first, rest = words[0], words[1:]
    if first in HELP or first == "help":
        return _help(rest)
    if first in ("-v", "--version") and not rest:
        return Plan("run", "version")
    if first.startswith("-"):
        return Plan("fault", f"unknown option {first}", code=USAGE)
    first = SHORTCUTS.get(first, first)
    topic, colon, action = first.partition(":")
    found = TOPICS.get(topic)
    if found is None:
        return Plan("plugin", topic, [action, *rest] if colon else rest)
    if not colon and rest and rest[0] in found.actions:
        return Plan("run", f"{topic}:{rest[0]}", rest[1:])
    if colon:
        if action not in found.actions:
            return Plan("fault", f"there is no command {first}", code=USAGE)
        return Plan("run", first, rest)
    if not found.actions:
        return Plan("run", topic, rest)
    if not found.default or (rest and rest[0] in HELP):
        return Plan("topic", topic)
    return Plan("run", f"{topic}:{found.default}", rest)


def _help(rest: list[str]) -> Plan:
    if not rest:
        return Plan("help")
    name = SHORTCUTS.get(rest[0], rest[0])
    found = TOPICS.get(name)
    if found is not None and len(rest) == 1 and found.actions:
        return Plan("topic", name)
    return _plan([*rest, "--help"])
