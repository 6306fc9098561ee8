"""What every command shares: typer's wiring, common options, the open API, the application."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from deis_cli.errors import CliError, Lost
from deis_cli.screen import Screen
from deis_cli.session import Session
from deis_cli.state import State

if TYPE_CHECKING:
    from deis_cli.core.client import Api
    from deis_cli.core.git import Builder, Git
    from deis_cli.core.models import Platform

App = Annotated[str | None, typer.Option("-a", "--app", help="The application.")]
Remote = Annotated[str | None, typer.Option("-r", "--remote", help="Name of the git remote.")]
Limit = Annotated[int | None, typer.Option("-l", "--limit", help="Rows to show at most.")]
Format = Annotated[
    str, typer.Option("-o", "--output", help="`text` for people, `json` for programs.")
]
Confirm = Annotated[str | None, typer.Option("--confirm", help="The name, to go ahead unasked.")]


class Command(TyperCommand):
    """A command whose help begins with what it is for (cli.md 1.2)."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Purpose, usage, the rest of the text, arguments and options."""
        purpose, _, rest = (self.help or "").partition("\n")
        formatter.write(purpose.strip() + "\n\n")
        self.format_usage(ctx, formatter)
        if rest.strip():
            formatter.write("\n" + rest.strip() + "\n")
        self.format_options(ctx, formatter)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """`<version> [options]`, as the original and its manual write it."""
        return [*(_argument(one) for one in _arguments(self, ctx)), "[options]"]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments by the names of the usage line, then the options."""
        arguments = [(_argument(one), one.help or "") for one in _arguments(self, ctx)]
        if arguments:
            with formatter.section("Arguments"):
                formatter.write_dl(arguments)
        records = (one.get_help_record(ctx) for one in self.get_params(ctx))
        options = [
            record
            for one, record in zip(self.get_params(ctx), records, strict=True)
            if one.param_type_name == "option" and record is not None
        ]
        with formatter.section("Options"):
            formatter.write_dl(options)


def _arguments(command: Any, ctx: Any) -> list[Any]:
    return [one for one in command.get_params(ctx) if one.param_type_name == "argument"]


def _argument(param: Any) -> str:
    """`<version>`, `[<name>]`, `<key>...`."""
    name = str(param.metavar or f"<{param.name.replace('_', '-')}>").strip("[]")
    many = "" if param.nargs == 1 or name.endswith("...") else "..."
    return f"{name}{many}" if param.required else f"[{name}{many}]"


def topic() -> typer.Typer:
    """A topic's commands, under their literal names."""
    made = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=False)
    made.callback()(lambda: None)
    return made


class Work:
    """A command at work, logged in."""

    def __init__(self, state: State, session: Session, api: "Api") -> None:
        self.state = state
        self.session = session
        self.api = api
        self._platform: Platform | None = None

    @property
    def screen(self) -> Screen:
        """Where to print."""
        return self.state.screen

    @property
    def git(self) -> "Git":
        """git in the folder we were started in."""
        from deis_cli.core.git import Git

        return Git(self.state.folder, self.state.environ)

    def rows(self, limit: int | None) -> int:
        """How many rows a list asks for."""
        return self.session.limit if limit is None else limit

    async def platform(self) -> "Platform":
        """What the platform advertises; empty from an original controller."""
        if self._platform is None:
            self._platform = await self.api.platform()
        return self._platform

    async def builder(self) -> "Builder":
        """Where one pushes to."""
        from deis_cli.core.git import builder_of

        return builder_of((await self.platform()).git, self.session.controller)

    async def app(self, given: str | None, remote: str | None = None) -> str:
        """The application: given, `DEIS_APP`, a git remote, at last the folder's name."""
        from deis_cli.core.git import app_of, ours

        chosen = given or (self.state.environ.get("DEIS_APP") if remote is None else None)
        if chosen:
            return chosen
        remotes = await self.git.remotes()
        if remotes:
            found = ours(remotes, await self.builder())
            named = [one for one in found if remote in (None, one.name)]
            if named:
                self.state.inferred = f"the git remote {named[0].name}"
                return app_of(named[0].url)
        if remote is not None:
            raise CliError(f"No git remote {remote} leads to this platform")
        self.state.inferred = "the folder's name"
        return self.state.folder.name.lower()


def go(ctx: typer.Context, work: Callable[[Work], Awaitable[None]], output: str = "text") -> None:
    """Run a command that needs somebody logged in."""
    from deis_cli.core.client import Api

    state = begin(ctx, output)
    session = state.session()

    async def main() -> None:
        async with Api(
            session.controller, session.token, verify=session.ssl_verify, skew=skew(state.screen)
        ) as api:
            await work(Work(state, session, api))

    run(main())


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end; what the network does in the middle of a stream is an error in words too."""
    import asyncio

    import aiohttp
    import msgspec

    try:
        asyncio.run(work)
    except aiohttp.ClientError as fault:
        raise Lost(
            f"the connection was lost: {str(fault) or type(fault).__name__}", sent=True
        ) from fault
    except msgspec.MsgspecError as fault:
        raise CliError(f"The controller's answer is not understood: {fault}") from fault


def begin(ctx: typer.Context, output: str = "text") -> State:
    """The invocation's state, told the output format."""
    if output not in ("text", "json"):
        raise typer.BadParameter(f"{output} is not a format: text or json")
    state: State = ctx.obj
    state.screen.data_only = output == "json"
    return state


def skew(screen: Screen) -> Callable[[str], None]:
    """Warns once that client and server differ (cli.md 3.3)."""
    told: list[str] = []

    def warn(server: str) -> None:
        from deis_cli import API_VERSION

        if not told:
            told.append(server)
            screen.note(
                "!    WARNING: Client and server API versions do not match. Please upgrade."
            )
            screen.note(f"!    Client version: {API_VERSION}")
            screen.note(f"!    Server version: {server or 'unknown'}")

    return warn


def pairs(words: list[str], what: str) -> dict[str, str]:
    """`key=value` words as a map; raises CliError for a word that is none."""
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise CliError(f"'{word}' does not match the pattern {what}", 6)
        found[key] = value
    return found
