"""`releases:*`: what was deployed, and going back (cli.md 6.18)."""

from typing import Annotated

import typer

from deis_cli.screen import Screen, header
from deis_cli.skin import App, Command, Format, Limit, Work, go, topic

app = topic()
BAR = 40


@app.command("releases:list", cls=Command)
def list_releases(
    ctx: typer.Context, name: App = None, limit: Limit = None, output: Format = "text"
) -> None:
    """Lists the releases of an application, newest first."""

    async def work(w: Work) -> None:
        import msgspec

        from deis_cli.core import releases

        found = await w.app(name)
        page = await releases.listed(w.api, found, w.rows(limit))
        if w.screen.data_only:
            w.screen.data(msgspec.to_builtins(page.results))
        w.screen.line(header(f"{found} Releases", len(page.results), page.count))
        for release in page.results:
            w.screen.line(f"v{release.version}\t{release.created}\t{release.summary or ''}")

    go(ctx, work, output)


@app.command("releases:info", cls=Command)
def info(
    ctx: typer.Context,
    version: Annotated[str, typer.Argument(help="The release: v3 or 3.")],
    name: App = None,
    output: Format = "text",
) -> None:
    """Shows a release, and where the seconds of its deploy went."""

    async def work(w: Work) -> None:
        import msgspec

        from deis_cli.core import releases

        number = releases.number(version)
        found = await w.app(name)
        release = await releases.info(w.api, found, number)
        stages = await releases.stages(w.api, found, number)
        if w.screen.data_only:
            w.screen.data(msgspec.to_builtins(release) | {"stages": stages.stages})
        w.screen.line(header(f"{found} Release v{release.version}"))
        if release.build:
            w.screen.line(f"build:    {release.build}")
        for label in ("config", "owner", "created", "summary", "updated", "uuid"):
            w.screen.line(f"{label + ':':<9} {getattr(release, label) or ''}".rstrip())
        if release.state and release.state != "succeeded":
            w.screen.line(f"state:    {release.state}")
        if release.exception:
            w.screen.line(f"error:    {release.exception.removeprefix('error: ')}")
        draw(w.screen, stages.stages)

    go(ctx, work, output)


def draw(screen: Screen, stages: dict[str, float]) -> None:
    """One bar per stage, as long as its share."""
    if not stages:
        return
    total = sum(stages.values())
    width = max(map(len, (*stages, "total")))
    screen.line()
    screen.line("--- Where the seconds went")
    for stage, seconds in stages.items():
        bar = "#" * round(BAR * seconds / total) if total else ""
        screen.line(f"{stage:<{width}} {seconds:8.3f}s {bar}".rstrip())
    screen.line(f"{'total':<{width}} {total:8.3f}s")


@app.command("releases:rollback", cls=Command)
def rollback(
    ctx: typer.Context,
    version: Annotated[
        str | None, typer.Argument(help="The release: v3 or 3; the one before without it.")
    ] = None,
    name: App = None,
    output: Format = "text",
) -> None:
    """Goes back to an earlier release, as a new one."""

    async def work(w: Work) -> None:
        from deis_cli.core import releases

        number = releases.number(version) if version is not None else None
        found = await w.app(name)
        where = "one release" if number is None else f"to v{number}"
        w.screen.begin(f"Rolling back {where}")
        new = await releases.rollback(w.api, found, number, w.screen.note)
        w.screen.done(f"done, v{new}")
        if w.screen.data_only:
            w.screen.data({"version": new})

    go(ctx, work, output)
