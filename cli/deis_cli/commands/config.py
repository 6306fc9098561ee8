"""`config:*`: environment variables (cli.md 6.6)."""

from typing import Annotated, Any

import typer

from deis_cli.screen import header
from deis_cli.skin import App, Command, Format, Work, go, topic

app = topic()
HEALTHCHECK = "HEALTHCHECK_ variables are deprecated: use `deis healthchecks`."


@app.command("config:list", cls=Command)
def list_values(
    ctx: typer.Context,
    name: App = None,
    oneline: Annotated[bool, typer.Option("--oneline", help="All in one line.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="KEY=value, one per line.")] = False,
    output: Format = "text",
) -> None:
    """Lists the environment variables of an application."""

    async def work(w: Work) -> None:
        from deis_cli.core import config

        found = await w.app(name)
        values = await config.read(w.api, found)
        words = [f"{key}={values[key]}" for key in sorted(values, key=str.encode)]
        if w.screen.data_only:
            w.screen.data(values)
        elif oneline:
            w.screen.line(" ".join(words))
        elif diff:
            for word in words:
                w.screen.line(word)
        else:
            _show(w, found, values)

    go(ctx, work, output)


def _show(w: Work, name: str, values: dict[str, str]) -> None:
    if w.screen.data_only:
        w.screen.data(values)
    w.screen.line(header(f"{name} Config"))
    w.screen.padded(values, 6)


@app.command("config:set", cls=Command)
def set_values(
    ctx: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="<var>=<value>...", help="Variables.")],
    name: App = None,
    output: Format = "text",
) -> None:
    """Sets environment variables: a new release."""

    async def work(w: Work) -> None:
        from deis_cli.core import config

        values = config.parse(words)
        if any("HEALTHCHECK_" in key for key in values):
            w.screen.note(HEALTHCHECK)
        await _change(w, await w.app(name), "Creating config", dict(values))

    go(ctx, work, output)


@app.command("config:unset", cls=Command)
def unset_values(
    ctx: typer.Context,
    keys: Annotated[list[str], typer.Argument(metavar="<key>...", help="Variables to remove.")],
    name: App = None,
    output: Format = "text",
) -> None:
    """Removes environment variables: a new release."""

    async def work(w: Work) -> None:
        await _change(w, await w.app(name), "Removing config", dict.fromkeys(keys))

    go(ctx, work, output)


async def _change(w: Work, name: str, title: str, values: dict[str, Any]) -> None:
    from deis_cli.core import config

    w.screen.begin(title)
    after = await config.change(w.api, name, values, w.screen.note)
    release = after.get("WORKFLOW_RELEASE")
    w.screen.done(f"done, {release}" if release else "done")
    w.screen.line()
    _show(w, name, await config.read(w.api, name))
