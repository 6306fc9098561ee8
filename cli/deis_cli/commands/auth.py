"""`auth:*`: accounts, logging in and out (cli.md 6.2)."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from deis_cli import session
from deis_cli.errors import CliError
from deis_cli.session import Session, normal_url
from deis_cli.skin import Command, Format, Work, begin, go, run, skew, topic
from deis_cli.state import State

if TYPE_CHECKING:
    from deis_cli.core.client import Api

app = topic()
Username = Annotated[str | None, typer.Option("--username", help="Your user name.")]
Password = Annotated[
    str | None, typer.Option("--password", help="Your password; `-` reads it from standard input.")
]
Controller = Annotated[str | None, typer.Argument(help="URL of the platform's API.")]
Verify = Annotated[
    str, typer.Option("--ssl-verify", help="`false` takes any certificate, now and later.")
]


def _apart(
    ctx: typer.Context,
    controller: str | None,
    verify: str,
    work: Callable[[State, "Api"], Awaitable[None]],
) -> None:
    """Run what needs no login, against the given controller or the profile's."""
    from deis_cli.core.client import Api

    state = begin(ctx)
    url = normal_url(controller) if controller else state.session().controller
    known = _known(state, url)

    async def main() -> None:
        async with Api(url, known, verify=verify != "false", skew=skew(state.screen)) as api:
            await work(state, api)

    run(main())


def _known(state: State, url: str) -> str:
    """The token of the profile where it is for the same host: administrators register others."""
    try:
        kept = state.session()
    except CliError:
        return ""
    return kept.token if kept.host == urlsplit(url).hostname else ""


@app.command("auth:register", cls=Command)
def register(
    ctx: typer.Context,
    controller: Controller = None,
    username: Username = None,
    password: Password = None,
    email: Annotated[str | None, typer.Option("--email", help="Your e-mail address.")] = None,
    login: Annotated[str, typer.Option("--login", help="`false` does not log in.")] = "true",
    no_login: Annotated[bool, typer.Option("--no-login", help="Do not log in.")] = False,
    ssl_verify: Verify = "true",
) -> None:
    """Registers a new user, and logs in."""

    async def work(state: State, api: "Api") -> None:
        from deis_cli.core import auth
        from deis_cli.core.client import Api

        async with Api(api.controller, verify=ssl_verify != "false") as nobody:
            await auth.check(nobody)
        name = username or state.ask("username: ", "--username")
        word = state.secret(password, "password: ", "--password")
        if password is None:
            again = state.secret(None, "password (confirm): ", "--password")
            if word != again:
                raise CliError("Password mismatch, aborting registration.")
        address = email if email is not None else state.ask("email: ", "--email")
        try:
            await auth.register(api, name, word, address)
        except CliError:
            state.screen.err.write("Registration failed: ")
            raise
        state.screen.line(f"Registered {name}")
        if login != "false" and not no_login:
            await _login(state, api.controller, name, word, ssl_verify)

    _apart(ctx, controller, ssl_verify, work)


@app.command("auth:login", cls=Command)
def login(
    ctx: typer.Context,
    controller: Controller = None,
    username: Username = None,
    password: Password = None,
    ssl_verify: Verify = "true",
) -> None:
    """Logs in to a platform."""

    async def work(state: State, api: "Api") -> None:
        from deis_cli.core import auth
        from deis_cli.core.client import Api

        async with Api(api.controller, verify=ssl_verify != "false") as nobody:
            await auth.check(nobody)
        name = username or state.ask("username: ", "--username")
        word = state.secret(password, "password: ", "--password")
        await _login(state, api.controller, name, word, ssl_verify)

    _apart(ctx, controller, ssl_verify, work)


async def _login(state: State, controller: str, username: str, password: str, verify: str) -> None:
    from deis_cli.core import auth
    from deis_cli.core.client import Api

    checked = verify != "false"
    # Without the profile's token: a stale one would be a 401 even here.
    async with Api(controller, verify=checked, skew=skew(state.screen)) as api:
        token = await auth.login(api, username, password)
    session.save(state.path, Session(username, controller, token, checked))
    state.screen.line(f"Logged in as {username}")
    state.screen.line(f"Configuration file written to {state.path}")


@app.command("auth:logout", cls=Command)
def logout(ctx: typer.Context) -> None:
    """Logs out: forgets the profile."""
    state = begin(ctx)
    session.remove(state.path)
    state.screen.line("Logged out")


@app.command("auth:whoami", cls=Command)
def whoami(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="The whole account.")] = False,
    output: Format = "text",
) -> None:
    """Shows who is logged in, and where."""
    state = begin(ctx, output)
    kept = state.session()
    if not everything:
        if state.screen.data_only:
            state.screen.data({"username": kept.username, "controller": kept.controller})
        state.screen.line(f"You are {kept.username} at {kept.controller}")
        return

    async def work(w: Work) -> None:
        import msgspec

        from deis_cli.core import auth

        user = await auth.whoami(w.api)
        if w.screen.data_only:
            w.screen.data(msgspec.to_builtins(user))
        for label in (
            "ID",
            "Username",
            "Email",
            "First Name",
            "Last Name",
            "Last Login",
            "Is Superuser",
            "Is Staff",
            "Is Active",
            "Date Joined",
        ):
            value = getattr(user, label.lower().replace(" ", "_"))
            shown = str(value).lower() if isinstance(value, bool) else value
            w.screen.line(f"{label}: {'' if shown is None else shown}".rstrip())

    go(ctx, work, output)


@app.command("auth:passwd", cls=Command)
def passwd(
    ctx: typer.Context,
    password: Password = None,
    new_password: Annotated[str | None, typer.Option("--new-password", help="The new one.")] = None,
    username: Annotated[
        str | None, typer.Option("--username", help="Another user (administrators).")
    ] = None,
) -> None:
    """Changes a password."""

    async def work(w: Work) -> None:
        from deis_cli.core import auth

        state = w.state
        current = password
        if username is None:
            current = state.secret(password, "current password: ", "--password")
        new = state.secret(new_password, "new password: ", "--new-password")
        if new_password is None and new != state.secret(
            None, "new password (confirm): ", "--new-password"
        ):
            raise CliError("Password mismatch, not changing.")
        try:
            await auth.set_password(w.api, new, current, username)
        except CliError:
            state.screen.err.write("Password change failed: ")
            raise
        state.screen.line("Password change succeeded.")

    go(ctx, work)


@app.command("auth:cancel", cls=Command)
def cancel(
    ctx: typer.Context,
    username: Annotated[
        str | None, typer.Option("--username", help="Another user (administrators).")
    ] = None,
    password: Password = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Cancels an account; its applications must be gone or handed over."""

    async def work(w: Work) -> None:
        from deis_cli.core import auth

        state, kept = w.state, w.session
        if username is None or password is not None:
            state.screen.line("Please log in again in order to cancel this account")
            word = state.secret(password, "password: ", "--password")
            await auth.login(w.api, kept.username, word)
        who = username or kept.username
        asked = f"cancel account {who} at {kept.controller}? (y/N): "
        if not yes and state.ask(asked, "--yes").lower() not in ("y", "yes"):
            state.screen.note("Account not changed")
            return
        await auth.cancel(w.api, username)
        if who == kept.username:
            session.remove(state.path)
        state.screen.line("Account cancelled")

    go(ctx, work)


@app.command("auth:regenerate", cls=Command)
def regenerate(
    ctx: typer.Context,
    username: Annotated[
        str | None, typer.Option("-u", "--username", help="Another user (administrators).")
    ] = None,
    everybody: Annotated[bool, typer.Option("--all", help="Everybody's token.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Makes a new token; the old one stops working."""

    async def work(w: Work) -> None:
        from deis_cli.core import auth

        asked = "regenerate the tokens of all users? (y/N): "
        if everybody and not yes and w.state.ask(asked, "--yes").lower() not in ("y", "yes"):
            raise CliError("Nothing was changed")
        token = await auth.regenerate(w.api, username, everybody=everybody)
        if token and username in (None, w.session.username):
            session.save(w.state.path, replace(w.session, token=token))
        w.screen.line("Token Regenerated")

    go(ctx, work)
