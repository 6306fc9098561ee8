"""`events`: what happened, and what happens (DESIGN 5)."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from deis_cli.skin import App, Command, Format, Work, go, topic

if TYPE_CHECKING:
    from deis_cli.core.events import Told

app = topic()


@app.command("events", cls=Command)
def events(
    ctx: typer.Context,
    name: App = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Then every new one.")] = False,
    since: Annotated[
        str, typer.Option("--since", help="A cursor, or `beginning`; with -f from now on without.")
    ] = "",
    kind: Annotated[str, typer.Option("--type", help="One type, e.g. release.created.")] = "",
    output: Format = "text",
) -> None:
    """Shows the events of your applications, oldest first.

    Every line begins with the event's cursor: `--since <cursor>` goes on behind it.
    """

    async def work(w: Work) -> None:
        import msgspec

        from deis_cli.core.events import events

        told = events(
            w.api, since=since, kind=kind, app=name or "", follow=follow, note=w.screen.note
        )
        async for event in told:
            if w.screen.data_only:
                w.screen.data(msgspec.to_builtins(event))
            w.screen.line(_line(event))

    go(ctx, work, output)


def _line(event: "Told") -> str:
    details = " ".join(f"{key}={_short(value)}" for key, value in event.data.items())
    actor = f" by {event.actor}" if event.actor else ""
    return f"{event.cursor} {event.time} {event.app or '-'} {event.type}{actor} {details}".rstrip()


def _short(value: object) -> str:
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return json.dumps(value, ensure_ascii=False) if " " in value or not value else value
