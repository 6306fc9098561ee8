"""`apps:*`: the applications themselves (cli.md 6.1)."""

import sys
import time
from typing import Annotated

import typer

from deis_cli.errors import CliError, Ended
from deis_cli.screen import header
from deis_cli.skin import App, Command, Confirm, Format, Limit, Work, go, topic

app = topic()
LATER = "If you want to add a git remote for this app later, use `deis git:remote -a {app}`"
Name = Annotated[str | None, typer.Argument(help="Name; without one the platform finds one.")]
Words = Annotated[list[str], typer.Argument(metavar="<command>...", help="The command.")]


@app.command("apps:create", cls=Command)
def create(
    ctx: typer.Context,
    name: Name = None,
    no_remote: Annotated[bool, typer.Option("--no-remote", help="Add no git remote.")] = False,
    buildpack: Annotated[
        str | None, typer.Option("-b", "--buildpack", help="URL of the buildpack to use.")
    ] = None,
    remote: Annotated[
        str | None, typer.Option("-r", "--remote", help="Name of the git remote to add.")
    ] = None,
    output: Format = "text",
) -> None:
    """Creates an application, and a git remote for it."""

    async def work(w: Work) -> None:
        import msgspec

        from deis_cli.core import apps, config

        w.screen.begin("Creating Application")
        made = await apps.create(w.api, name)
        w.screen.done(f"done, created {made.id}")
        if w.screen.data_only:
            w.screen.data(msgspec.to_builtins(made))
        if buildpack:
            await config.change(w.api, made.id, {"BUILDPACK_URL": buildpack}, w.screen.note)
        if no_remote or not await w.git.inside():
            w.screen.line(LATER.format(app=made.id))
            return
        await _add_remote(w, made.id, remote or w.state.brand.remote)

    go(ctx, work, output)


async def _add_remote(w: Work, name: str, remote: str) -> None:
    url = (await w.builder()).url(name)
    there = {one.name: one.url for one in await w.git.remotes()}
    if there.get(remote, url) != url:
        raise CliError(
            f"A git remote {remote} exists already: the application was created without one.\n"
            f"To replace it: deis git:remote --force --remote {remote} --app {name}"
        )
    if remote not in there:
        await w.git.add(remote, url)
    w.screen.line(f"Git remote {remote} successfully created for app {name}.")


@app.command("apps:list", cls=Command)
def list_apps(ctx: typer.Context, limit: Limit = None, output: Format = "text") -> None:
    """Lists the applications you may use."""

    async def work(w: Work) -> None:
        import msgspec

        from deis_cli.core import apps

        page = await apps.listed(w.api, w.rows(limit))
        if w.screen.data_only:
            w.screen.data(msgspec.to_builtins(page.results))
        w.screen.line(header("Apps", len(page.results), page.count))
        for found in page.results:
            w.screen.line(found.id)

    go(ctx, work, output)


@app.command("apps:info", cls=Command)
def info(ctx: typer.Context, name: App = None, output: Format = "text") -> None:
    """Shows an application: where it is, what runs, its domains and labels."""

    async def work(w: Work) -> None:
        import msgspec

        from deis_cli.core import apps
        from deis_cli.listing import processes

        found = await apps.info(w.api, await w.app(name), w.session.limit)
        if w.screen.data_only:
            w.screen.data(msgspec.to_builtins(found))
        shown, screen = found.app, w.screen
        screen.line(header(f"{shown.id} Application"))
        for label, value in (
            ("updated", shown.updated),
            ("uuid", shown.uuid),
            ("created", shown.created),
            ("url", found.url or "No domain assigned to this application"),
            ("owner", shown.owner),
            ("id", shown.id),
        ):
            screen.line(f"{label + ':':<9} {value}")
        screen.line()
        processes(screen, shown.id, found.pods)
        screen.line()
        screen.line(header(f"{shown.id} Domains"))
        for domain in found.domains:
            screen.line(domain)
        screen.line()
        if found.labels:
            screen.line(header(f"{shown.id} Label"))
            screen.padded({f"{key}:": value for key, value in found.labels.items()}, 6)
            screen.line()

    go(ctx, work, output)


@app.command("apps:open", cls=Command)
def open_app(ctx: typer.Context, name: App = None) -> None:
    """Opens the application in a browser."""

    async def work(w: Work) -> None:
        from deis_cli.browser import show
        from deis_cli.core import apps

        found = await apps.address(w.api, await w.app(name))
        if not found:
            raise CliError("No domain is assigned to this application")
        await show(found if "://" in found else f"http://{found}", w.state.environ)

    go(ctx, work)


@app.command("apps:logs", cls=Command)
def logs(
    ctx: typer.Context,
    name: App = None,
    lines: Annotated[int, typer.Option("-n", "--lines", help="Lines to begin with.")] = 0,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Then every new one.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="Without colours.")] = False,
) -> None:
    """Shows what the application printed and what the platform did with it."""

    async def work(w: Work) -> None:
        from deis_cli.core import logs
        from deis_cli.listing import log_line

        found = await w.app(name)
        colour = w.screen.out.isatty() and not no_color and not w.state.environ.get("NO_COLOR")
        if not follow:
            for line in (await logs.tail(w.api, found, lines)).splitlines():
                w.screen.line(log_line(line, colour=colour))
            return
        async for line in logs.follow(w.api, found, lines, w.screen.note):
            w.screen.line(log_line(line, colour=colour))

    go(ctx, work)


@app.command("apps:run", cls=Command)
def run(
    ctx: typer.Context,
    words: Words,
    name: App = None,
    no_tty: Annotated[bool, typer.Option("-T", "--no-tty", help="Without a terminal.")] = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="Keep each word as it is, blanks and all.")
    ] = False,
) -> None:
    """Runs a command in a fresh instance of the application.

    Words are joined by blanks and run by a shell; `--` goes before a command with options.
    """

    async def work(w: Work) -> None:
        import shlex

        from deis_cli.console import LocalConsole, raw
        from deis_cli.core.run import blocking, streamed

        found = await w.app(name)
        command = shlex.join(words) if exact else " ".join(words)
        tty = (
            w.state.terminal() and w.screen.out.isatty() and not no_tty and sys.platform != "win32"
        )
        w.screen.line(f"Running '{command}'...")
        with raw(wanted=tty):
            code = await streamed(w.api, found, command, LocalConsole(w.state, tty=tty))
        if code is None:
            result = await blocking(w.api, found, command)
            w.screen.raw(result.output.encode(), error=result.exit_code != 0)
            code = result.exit_code
        if code:
            raise Ended(code)

    go(ctx, work)


@app.command("apps:destroy", cls=Command)
def destroy(ctx: typer.Context, name: App = None, confirm: Confirm = None) -> None:
    """Removes an application with everything that belongs to it."""

    async def work(w: Work) -> None:
        from deis_cli.core import apps
        from deis_cli.core.git import ours

        found = await w.app(name)
        _confirmed(w, found, confirm)
        started = time.monotonic()
        w.screen.line(f"Destroying {found}...")
        w.screen.wait()
        await apps.destroy(w.api, found, w.screen.note)
        w.screen.line(f"done in {int(time.monotonic() - started)}s")
        remotes = await w.git.remotes() if w.state.inferred else []
        if not remotes:
            return
        builder = await w.builder()
        mine = [one for one in ours(remotes, builder) if one.url == builder.url(found)]
        for one in mine:
            await w.git.remove(one.name)
        if mine:
            w.screen.line(f"Git remotes for app {found} removed.")

    go(ctx, work)


def _confirmed(w: Work, found: str, confirm: str | None) -> None:
    given = confirm
    if given is None:
        w.screen.line(" !    WARNING: Potentially Destructive Action")
        w.screen.line(f" !    This command will destroy the application: {found}")
        w.screen.line(
            f' !    To proceed, type "{found}" or re-run this command with --confirm={found}'
        )
        w.screen.line()
        given = w.state.ask("> ", f"--confirm={found}")
    if given != found:
        raise CliError(f"App {found} does not match confirm {given}, aborting.")


@app.command("apps:transfer", cls=Command)
def transfer(
    ctx: typer.Context,
    username: Annotated[str, typer.Argument(help="The new owner.")],
    name: App = None,
) -> None:
    """Gives the application to another user."""

    async def work(w: Work) -> None:
        from deis_cli.core import apps

        found = await w.app(name)
        w.screen.begin(f"Transferring {found} to {username}")
        await apps.transfer(w.api, found, username)
        w.screen.done()

    go(ctx, work)
