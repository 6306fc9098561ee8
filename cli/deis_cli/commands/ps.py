"""`ps:*`: processes (cli.md 6.16)."""

import time
from typing import Annotated

import typer

from deis_cli.skin import App, Command, Format, Work, go, topic

app = topic()


def _banner(w: Work, what: str) -> None:
    drink = w.state.environ.get("DEIS_DRINK_OF_CHOICE") or "coffee"
    w.screen.line(f"{what} processes... but first, {drink}!")
    w.screen.wait()


@app.command("ps:list", cls=Command)
def list_processes(ctx: typer.Context, name: App = None, output: Format = "text") -> None:
    """Lists the processes of an application."""

    async def work(w: Work) -> None:
        await _show(w, await w.app(name))

    go(ctx, work, output)


async def _show(w: Work, name: str) -> None:
    import msgspec

    from deis_cli.core import apps
    from deis_cli.listing import processes

    found = await apps.pods(w.api, name)
    if w.screen.data_only:
        w.screen.data(msgspec.to_builtins(found))
    processes(w.screen, name, found)


@app.command("ps:scale", cls=Command)
def scale(
    ctx: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="<type>=<num>...", help="Counts.")],
    name: App = None,
    output: Format = "text",
) -> None:
    """Changes how many processes of a type run."""

    async def work(w: Work) -> None:
        from deis_cli.core import processes

        wanted = processes.counts(words)
        found = await w.app(name)
        _banner(w, "Scaling")
        started = time.monotonic()
        await processes.scale(w.api, found, wanted, w.screen.note)
        w.screen.line(f"done in {int(time.monotonic() - started)}s")
        await _show(w, found)

    go(ctx, work, output)


@app.command("ps:restart", cls=Command)
def restart(
    ctx: typer.Context,
    target: Annotated[
        str | None, typer.Argument(help="A type or a process; everything without one.")
    ] = None,
    name: App = None,
    output: Format = "text",
) -> None:
    """Restarts processes; new ones are up before old ones go."""

    async def work(w: Work) -> None:
        import msgspec

        from deis_cli.core.processes import restart
        from deis_cli.listing import processes

        found = await w.app(name)
        _banner(w, "Restarting")
        started = time.monotonic()
        pods = await restart(w.api, found, target, w.screen.note)
        if w.screen.data_only:
            w.screen.data(msgspec.to_builtins(pods))
        if not pods:
            w.screen.line("Could not find any processes to restart")
            return
        w.screen.line(f"done in {int(time.monotonic() - started)}s")
        processes(w.screen, found, pods)

    go(ctx, work, output)
