"""`shortcuts`: the short forms (cli.md 6.20)."""

import typer

from deis_cli.registry import SHORTCUTS
from deis_cli.skin import Command, begin, topic

app = topic()


@app.command("shortcuts:list", cls=Command)
def list_shortcuts(ctx: typer.Context) -> None:
    """Lists the short forms of commands."""
    screen = begin(ctx).screen
    for short in sorted(SHORTCUTS):
        screen.line(f"{short} -> {SHORTCUTS[short]}")
    screen.line()
