"""`git:*`: the git remotes of applications (cli.md 4.3)."""

from typing import Annotated

import typer

from deis_cli.errors import CliError
from deis_cli.skin import App, Command, Remote, Work, go, topic

app = topic()


@app.command("git:remote", cls=Command)
def remote(
    ctx: typer.Context,
    name: App = None,
    remote: Remote = None,
    force: Annotated[bool, typer.Option("-f", "--force", help="Replace another URL.")] = False,
) -> None:
    """Adds the git remote of an application."""

    async def work(w: Work) -> None:
        found = await w.app(name)
        chosen = remote or w.state.brand.remote
        url = (await w.builder()).url(found)
        there = {one.name: one.url for one in await w.git.remotes()}
        if there.get(chosen) == url:
            w.screen.line(
                f"Remote {chosen} already exists and is correctly configured for app {found}."
            )
            return
        if chosen in there and not force:
            raise CliError(
                f"Remote {chosen} already exists and points to {there[chosen]}\n"
                f"It would become {url}: use `deis git:remote -f` to force that"
            )
        if chosen in there:
            w.screen.line(f"Deleting git remote {chosen}.")
            await w.git.remove(chosen)
        await w.git.add(chosen, url)
        w.screen.line(f"Git remote {chosen} successfully created for app {found}.")

    go(ctx, work)


@app.command("git:remove", cls=Command)
def remove(ctx: typer.Context, name: App = None) -> None:
    """Removes the git remotes of an application."""

    async def work(w: Work) -> None:
        found = await w.app(name)
        url = (await w.builder()).url(found)
        mine = [one for one in await w.git.remotes() if one.url == url]
        if not mine:
            raise CliError(f"could not find remote matching app {found}")
        for one in mine:
            await w.git.remove(one.name)
        w.screen.line(f"Git remotes for app {found} removed.")

    go(ctx, work)
