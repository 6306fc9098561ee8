"""Help of the whole client and of a topic (cli.md 1.2)."""

from collections.abc import Iterable

from deis_cli.registry import TOPICS

USAGE = "Usage: deis <command> [<args>...]"
_MAIN = ("create", "info", "logs", "open", "run", "scale", "pull", "rollback", "destroy")


def whole() -> str:
    """`deis help`."""
    width = max(map(len, TOPICS)) + 3
    topics = "\n".join(f"  {name:<{width}}{topic.about}" for name, topic in TOPICS.items())
    shortcuts = "\n".join(
        f"  {name:<{width}}{about}" for name, about in zip(_MAIN, _ABOUT, strict=True)
    )
    return f"""The deis command-line client drives a Deis Workflow platform.

{USAGE}

Auth commands:

  {"register":<{width}}register with a platform
  {"login":<{width}}log in to a platform
  {"logout":<{width}}forget the login

Topics, use `deis help <topic>` to learn more:

{topics}

Shortcut commands, use `deis shortcuts` to see all:

{shortcuts}

Use `git push deis main` to deploy an application.
"""


_ABOUT = (
    "create an application",
    "show an application",
    "show its logs",
    "open it in a browser",
    "run a command in it",
    "change how many processes run",
    "deploy an image",
    "go back to an earlier release",
    "remove an application",
)


def of_topic(name: str, commands: Iterable[tuple[str, str]]) -> str:
    """`deis help apps`; `commands` are names and purposes."""
    rows = list(commands)
    width = max((len(command) for command, _ in rows), default=0) + 3
    lines = "\n".join(f"  {command:<{width}}{purpose}" for command, purpose in rows)
    return f"""Valid commands for {name}:

{lines}

Use `deis help <command>` to learn more.
"""
