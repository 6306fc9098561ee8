"""`users:*`: every user of the platform, for administrators (cli.md 6.24)."""

import typer

from deis_cli.screen import header
from deis_cli.skin import Command, Format, Limit, Work, go, topic

app = topic()


@app.command("users:list", cls=Command)
def list_users(ctx: typer.Context, limit: Limit = None, output: Format = "text") -> None:
    """Lists all users; administrators have a star."""

    async def work(w: Work) -> None:
        import msgspec

        from deis_cli.core import models

        page = await w.api.get("/v2/users/", models.Page[models.User], limit=w.rows(limit))
        if w.screen.data_only:
            w.screen.data(msgspec.to_builtins(page.results))
        w.screen.line(header("Users (*=admin)", len(page.results), page.count))
        for user in page.results:
            w.screen.line(f"{'*' if user.is_superuser else ''}{user.username}")

    go(ctx, work, output)
