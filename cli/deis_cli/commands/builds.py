"""`builds:*`: builds (cli.md 6.4)."""

from pathlib import Path
from typing import Annotated

import typer

from deis_cli.errors import CliError, Ended
from deis_cli.screen import header
from deis_cli.skin import App, Command, Format, Limit, Work, go, topic

app = topic()


@app.command("builds:list", cls=Command)
def list_builds(
    ctx: typer.Context, name: App = None, limit: Limit = None, output: Format = "text"
) -> None:
    """Lists the builds of an application, newest first."""

    async def work(w: Work) -> None:
        import msgspec

        from deis_cli.core import builds

        found = await w.app(name)
        page = await builds.listed(w.api, found, w.rows(limit))
        if w.screen.data_only:
            w.screen.data(msgspec.to_builtins(page.results))
        w.screen.line(header(f"{found} Builds", len(page.results), page.count))
        for build in page.results:
            w.screen.line(f"{build.uuid} {build.created}")

    go(ctx, work, output)


@app.command("builds:create", cls=Command)
def create(
    ctx: typer.Context,
    image: Annotated[str, typer.Argument(help="The image, e.g. registry.example.com/web:v2.")],
    name: App = None,
    procfile: Annotated[
        str | None, typer.Option("-p", "--procfile", help="Process types: the text, `web: run`.")
    ] = None,
    procfile_path: Annotated[
        Path | None, typer.Option("--procfile-path", help="A file with the process types.")
    ] = None,
) -> None:
    """Deploys an image: a new build and release."""

    async def work(w: Work) -> None:
        from deis_cli.core import builds

        text = procfile or ""
        if procfile_path is not None:
            try:
                text = (w.state.folder / procfile_path).read_text()
            except (OSError, UnicodeDecodeError) as fault:
                raise CliError(f"Cannot read {procfile_path}: {fault}") from fault
        types = builds.procfile(text)
        found = await w.app(name)
        w.screen.begin("Creating build")
        await builds.create(w.api, found, image, types, w.screen.note)
        w.screen.done()

    go(ctx, work)


@app.command("builds:attach", cls=Command)
def attach(
    ctx: typer.Context,
    build: Annotated[str | None, typer.Argument(help="The build; the newest without it.")] = None,
    name: App = None,
) -> None:
    """Shows the output of a running or ended build from its first line, until it ends."""

    async def work(w: Work) -> None:
        from deis_cli.core import builds

        found = await w.app(name)
        # The newest may be another one when the connection breaks: hold on to this one.
        one = (await builds.which(w.api, found, build or builds.NEWEST)).build
        async for data in builds.output(w.api, found, one, w.screen.note):
            w.screen.raw(data)
        state = await builds.outcome(w.api, found, one, w.screen.note)
        if state != "released":
            w.screen.note(f"The build ended: {state}")
            raise Ended(1)

    go(ctx, work)
