"""`version` (cli.md 6.25)."""

from typing import Annotated

import typer

from deis_cli import API_VERSION, VERSION
from deis_cli.skin import Command, Work, begin, go, topic

app = topic()
WIDTH = 33


@app.command("version", cls=Command)
def version(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("-a", "--all", help="The platform's too.")] = False,
) -> None:
    """Shows the client's version."""
    screen = begin(ctx).screen
    if not everything:
        screen.line(f"v{VERSION}")
        return
    screen.line(f"{'Workflow CLI Version:':<{WIDTH}} v{VERSION}")
    screen.line(f"{'Workflow CLI API Version:':<{WIDTH}} {API_VERSION}")

    async def work(w: Work) -> None:
        reply = await w.api.send("GET", "/healthz")
        found = reply.headers.get("DEIS_API_VERSION", "unknown")
        w.screen.line(f"{'Workflow Controller API Version:':<{WIDTH}} {found}")

    go(ctx, work)
