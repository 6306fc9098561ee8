"""`deis`: from the words of the command line to an exit code."""

import sys
from importlib import import_module
from typing import Any

from deis_cli import helptext, plugins
from deis_cli.argv import Plan, plan
from deis_cli.brand import brand_of
from deis_cli.errors import (
    INTERRUPTED,
    NOT_LOGGED_IN,
    USAGE,
    ApiError,
    CliError,
    Ended,
    exit_code,
)
from deis_cli.registry import commands
from deis_cli.state import State


def main() -> None:
    """The console script."""
    state = State(brand=brand_of(sys.argv[0]))
    try:
        code = run(sys.argv[1:], state)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who read our output is gone, `| head` for one: nothing more can be said.
        sys.stderr.close()
        code = 1
    sys.exit(code)


def run(argv: list[str], state: State) -> int:
    """Do what the words say; gives the exit code. Prints to the state's screen only."""
    wanted = plan(argv)
    state.profile = wanted.profile
    match wanted.kind:
        case "help":
            state.screen.write(helptext.whole())
            return 0
        case "topic":
            return _topic_help(wanted.name, state)
        case "plugin":
            return _plugin(wanted, state)
        case "fault":
            if wanted.name:
                state.screen.error(wanted.name)
            state.screen.note(helptext.USAGE)
            return wanted.code
        case _:
            return _command(wanted, state)


def _module(name: str) -> Any:
    return import_module(f"deis_cli.commands.{name.partition(':')[0]}")


def _topic_help(name: str, state: State) -> int:
    registered = {one.name: one.callback for one in _module(name).app.registered_commands}
    rows = [
        (command, (registered[command].__doc__ or "").splitlines()[0])
        for command in commands(name)
        if command in registered
    ]
    state.screen.write(helptext.of_topic(name, rows))
    return 0


def _plugin(wanted: Plan, state: State) -> int:
    program = plugins.find(state, wanted.name)
    if program is None:
        state.screen.error(f"there is no matching command for {wanted.name}; see `deis help`")
        state.screen.note(helptext.USAGE)
        return 1
    return plugins.become(state, program, wanted.words)


def _command(wanted: Plan, state: State) -> int:
    import typer
    from typer.main import get_command

    command = get_command(_module(wanted.name).app)
    words = [wanted.name, *wanted.words]
    screen = state.screen
    try:
        if any(word in ("-h", "--help") for word in _options(wanted.words)):
            return _command_help(command, wanted.name, state)
        code = command.main(words, prog_name=state.brand.name, standalone_mode=False, obj=state)
    except typer.TyperException as fault:
        screen.error(fault.format_message())
        if wanted.name == "apps:run" and "such option" in fault.format_message():
            screen.note(_behind(state))
        screen.note(f"Usage: {state.brand.name} {_usage(command, wanted.name)}")
        return USAGE if fault.exit_code == USAGE else 1
    except Ended as fault:
        return fault.code
    except CliError as fault:
        screen.error(_said(fault, wanted, state))
        return exit_code(fault, state.environ)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    finally:
        screen.close()
    return code if isinstance(code, int) else 0


def _options(words: list[str]) -> list[str]:
    return words[: words.index("--")] if "--" in words else words


def _behind(state: State) -> str:
    return f"Options of the command to run go behind `--`: {state.brand.name} run -- sh -c '...'"


def _said(fault: CliError, wanted: Plan, state: State) -> str:
    text = str(fault)
    nobody = not isinstance(fault, ApiError) and fault.code == NOT_LOGGED_IN
    if nobody and wanted.name == "apps:run" and wanted.profile:
        text += f"\n`-c` chose that profile. {_behind(state)}"
    # A release or a user that is not there is not about the application's name.
    unknown = isinstance(fault, ApiError) and fault.status == 404
    if unknown and state.inferred and ("No App " in text or text == "Not Found"):
        text += f"\nThe application's name comes from {state.inferred}; `-a <app>` names another."
    return text


def _context(group: Any, name: str) -> tuple[Any, Any]:
    import typer

    command = group.commands[name]
    return command, typer.Context(command, info_name=name)


def _usage(group: Any, name: str) -> str:
    command, context = _context(group, name)
    return " ".join([name, *command.collect_usage_pieces(context)])


def _command_help(group: Any, name: str, state: State) -> int:
    command, _ = _context(group, name)
    import typer

    above = typer.Context(group, info_name=state.brand.name)
    context = typer.Context(command, info_name=name, parent=above)
    state.screen.write(command.get_help(context).rstrip() + "\n")
    return 0
