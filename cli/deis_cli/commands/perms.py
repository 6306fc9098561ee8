"""`perms:*`: who may use an application, and who administers (cli.md 6.15)."""

from typing import Annotated

import typer

from deis_cli.errors import UsageFault
from deis_cli.screen import header
from deis_cli.skin import App, Command, Format, Limit, Work, go, topic

app = topic()
Admin = Annotated[bool, typer.Option("--admin", help="Administrators of the platform.")]
User = Annotated[str, typer.Argument(help="The user's name.")]


def _either(name: str | None, admin: bool) -> None:
    if name is not None and admin:
        raise UsageFault("--app and --admin exclude each other")


@app.command("perms:list", cls=Command)
def list_perms(
    ctx: typer.Context,
    name: App = None,
    admin: Admin = False,
    limit: Limit = None,
    output: Format = "text",
) -> None:
    """Lists who may use an application, or the administrators."""
    _either(name, admin)
    if limit is not None and not admin:
        raise UsageFault("--limit needs --admin")

    async def work(w: Work) -> None:
        from deis_cli.core import models
        from deis_cli.core.apps import path

        if admin:
            kind = models.Page[models.User]
            page = await w.api.get("/v2/admin/perms/", kind, limit=w.rows(limit))
            names = [user.username for user in page.results]
            title = header("Administrators", len(names), page.count)
        else:
            found = await w.app(name)
            names = (await w.api.get(path(found, "perms/"), models.Users)).users
            title = header(f"{found}'s Users")
        if w.screen.data_only:
            w.screen.data(names)
        w.screen.line(title)
        for user in names:
            w.screen.line(user)

    go(ctx, work, output)


@app.command("perms:create", cls=Command)
def create(ctx: typer.Context, username: User, name: App = None, admin: Admin = False) -> None:
    """Lets a user use an application, or makes them an administrator."""
    _either(name, admin)

    async def work(w: Work) -> None:
        from deis_cli.core.apps import path

        found = "" if admin else await w.app(name)
        group = "system administrators" if admin else f"{found} collaborators"
        where = "/v2/admin/perms/" if admin else path(found, "perms/")
        w.screen.begin(f"Adding {username} to {group}")
        await w.api.send("POST", where, {"username": username})
        w.screen.done()

    go(ctx, work)


@app.command("perms:remove", cls=Command, hidden=True)
@app.command("perms:delete", cls=Command)
def delete(
    ctx: typer.Context,
    username: User,
    name: App = None,
    admin: Admin = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Take an administrator's rights unasked.")
    ] = False,
) -> None:
    """Takes back a user's right to an application, or an administrator's rights."""
    _either(name, admin)

    async def work(w: Work) -> None:
        from deis_cli.core.apps import path
        from deis_cli.core.client import part
        from deis_cli.errors import CliError

        if admin and not yes:
            asked = f"Take the administrator's rights of {username}? (y/N): "
            if w.state.ask(asked, "--yes").lower() not in ("y", "yes"):
                raise CliError("Nothing was changed")
        found = "" if admin else await w.app(name)
        group = "system administrators" if admin else f"{found} collaborators"
        where = (
            f"/v2/admin/perms/{part(username)}" if admin else path(found, "perms", part(username))
        )
        w.screen.begin(f"Removing {username} from {group}")
        await w.api.send("DELETE", where)
        w.screen.done()

    go(ctx, work)
