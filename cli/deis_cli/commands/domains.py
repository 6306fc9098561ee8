"""`domains:*`: host names of an application (cli.md 6.7)."""

from typing import Annotated

import typer

from deis_cli.screen import header
from deis_cli.skin import App, Command, Format, Limit, Work, go, topic

app = topic()
Domain = Annotated[str, typer.Argument(help="The host name, e.g. www.example.com.")]


@app.command("domains:list", cls=Command)
def list_domains(
    ctx: typer.Context, name: App = None, limit: Limit = None, output: Format = "text"
) -> None:
    """Lists the host names of an application."""

    async def work(w: Work) -> None:
        from deis_cli.core import apps

        found = await w.app(name)
        page = await apps.domains(w.api, found, w.rows(limit))
        if w.screen.data_only:
            w.screen.data([domain.domain for domain in page.results])
        w.screen.line(header(f"{found} Domains", len(page.results), page.count))
        for domain in page.results:
            w.screen.line(domain.domain)

    go(ctx, work, output)


@app.command("domains:add", cls=Command)
def add(ctx: typer.Context, domain: Domain, name: App = None) -> None:
    """Gives an application a host name."""

    async def work(w: Work) -> None:
        from deis_cli.core.apps import path

        found = await w.app(name)
        w.screen.begin(f"Adding {domain} to {found}")
        await w.api.send("POST", path(found, "domains/"), {"domain": domain})
        w.screen.done()

    go(ctx, work)


@app.command("domains:remove", cls=Command)
def remove(ctx: typer.Context, domain: Domain, name: App = None) -> None:
    """Takes a host name away from an application."""

    async def work(w: Work) -> None:
        from deis_cli.core.apps import path
        from deis_cli.core.client import part

        found = await w.app(name)
        w.screen.begin(f"Removing {domain} from {found}")
        await w.api.send("DELETE", path(found, "domains", part(domain)))
        w.screen.done()

    go(ctx, work)
