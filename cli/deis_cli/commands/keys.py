"""`keys:*`: the SSH keys one pushes with (cli.md 6.10)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deis_cli.errors import CONFLICT, CliError
from deis_cli.screen import header
from deis_cli.skin import Command, Format, Limit, Work, go, topic
from deis_cli.state import State

if TYPE_CHECKING:
    from deis_cli.core.keys import PublicKey

app = topic()


@app.command("keys:list", cls=Command)
def list_keys(ctx: typer.Context, limit: Limit = None, output: Format = "text") -> None:
    """Lists your SSH keys."""

    async def work(w: Work) -> None:
        import msgspec

        from deis_cli.core import keys

        page = await keys.listed(w.api, w.rows(limit))
        if w.screen.data_only:
            w.screen.data(msgspec.to_builtins(page.results))
        w.screen.line(header(f"{w.session.username} Keys", len(page.results), page.count))
        width = max((len(key.id) for key in page.results), default=0)
        for key in page.results:
            w.screen.line(f"{key.id:<{width}} {key.public[:16]}...{key.public[-10:]}")

    go(ctx, work, output)


@app.command("keys:add", cls=Command)
def add(
    ctx: typer.Context,
    first: Annotated[str | None, typer.Argument(metavar="[<name>]", help="Its name.")] = None,
    second: Annotated[
        str | None, typer.Argument(metavar="[<key-file>]", help="The public key's file.")
    ] = None,
) -> None:
    """Adds an SSH key; without a file it asks which of yours."""

    async def work(w: Work) -> None:
        from deis_cli.core import keys

        name, key = _chosen(w.state, first, second)
        w.screen.begin(f"Uploading {key.path.name} to {w.state.brand.name}")
        await keys.add(w.api, name or key.id, key.public)
        w.screen.done()

    go(ctx, work)


def _chosen(state: State, first: str | None, second: str | None) -> tuple[str | None, "PublicKey"]:
    """Name (or none given) and key: one argument is a file, of two one is."""
    from deis_cli.core import keys

    if first is None:
        return None, _menu(state)
    if second is None:
        return None, keys.read(_path(state, first))
    if not _path(state, second).is_file() and _path(state, first).is_file():
        first, second = second, first
    return first, keys.read(_path(state, second))


def _path(state: State, text: str) -> Path:
    if text.startswith("~/"):
        return Path(state.environ.get("HOME") or Path.home()) / text[2:]
    return state.folder / text


def _menu(state: State) -> "PublicKey":
    from deis_cli.core import keys

    if not state.terminal():
        raise CliError("There is no terminal to choose a key: name its file")
    problems: list[str] = []
    found = keys.found(Path(state.environ.get("HOME") or Path.home()), problems)
    for problem in problems:
        state.screen.note(problem)
    state.screen.line("Found the following SSH public keys:")
    for number, key in enumerate(found, 1):
        state.screen.line(f"{number}) {key.path.name} {key.id}")
    state.screen.line("0) Enter path to pubfile (or use keys:add <key_path>)")
    answer = state.ask("Which would you like to use with Deis? ", "a file")
    if not answer.strip().isdecimal() or int(answer) > len(found):
        raise CliError(f"{answer} is not a valid choice", CONFLICT)
    if int(answer) == 0:
        return keys.read(_path(state, state.ask("Enter the path to the pubkey file: ", "a file")))
    return found[int(answer) - 1]


@app.command("keys:remove", cls=Command)
def remove(
    ctx: typer.Context, name: Annotated[str, typer.Argument(help="The key's name.")]
) -> None:
    """Removes an SSH key."""

    async def work(w: Work) -> None:
        from deis_cli.core import keys

        w.screen.begin(f"Removing {name} SSH Key")
        await keys.remove(w.api, name)
        w.screen.done()

    go(ctx, work)
