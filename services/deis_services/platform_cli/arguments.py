"""The operator's sub-commands of `deis-platform`; what they do is imported when one is asked for."""

import argparse
import importlib
from collections.abc import Callable
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
PACKAGE = "deis_services.platform_cli"


def add(commands: Commands) -> None:
    """All of them."""
    doctor = _command(commands, "doctor", "doctor", "doctor", "name what is wrong, and the remedy")
    _output(doctor)
    _command(commands, "migrate", "maintenance", "migrate", "bring the database up to date")
    _dead(_group(commands, "dead", "messages that nobody could handle"))
    _automation(_group(commands, "automation", "programs that react to events"))
    events = _group(commands, "events", "the public log of events")
    _command(
        events, "rebuild", "maintenance", "rebuild", "publish every event of the database again"
    )
    _nats_configuration(commands)


def _dead(commands: Commands) -> None:
    _output(_command(commands, "list", "dead_letters", "listed", "show them"))
    for name, says in (("retry", "publish them again"), ("drop", "delete them")):
        command = _command(commands, name, "dead_letters", name, says)
        which = command.add_mutually_exclusive_group(required=True)
        which.add_argument("--all", action="store_true", help="all there are")
        which.add_argument(
            "numbers", nargs="*", type=int, default=[], metavar="NUMBER", help="as listed"
        )


def _automation(commands: Commands) -> None:
    add = _command(commands, "add", "automation", "add", "make a user and its consumer of events")
    add.add_argument("name", metavar="NAME")
    add.add_argument("--app", default="", help="only this application's events")
    add.add_argument("--since", metavar="CURSOR", help="beginning, now (default) or a cursor")
    _output(add)
    _output(_command(commands, "list", "automation", "listed", "show them"))
    rewind = _command(commands, "rewind", "automation", "rewind", "let one begin again elsewhere")
    rewind.add_argument("name", metavar="NAME")
    rewind.add_argument(
        "--since", required=True, metavar="CURSOR", help="beginning, now or a cursor"
    )
    remove = _command(commands, "remove", "automation", "remove", "remove user and consumer")
    remove.add_argument("name", metavar="NAME")


def _nats_configuration(commands: Commands) -> None:
    says = "write the configuration of the chart's NATS: users, rights, TLS"
    command = commands.add_parser("nats-configuration", help=says, description=says)
    command.add_argument("--passwords", required=True, help="folder with a file for each user")
    command.add_argument("--tls", required=True, help="folder with tls.crt and tls.key")
    command.add_argument("--store", required=True, help="folder of the streams")
    command.add_argument("--store-limit", default="8GB", help="size of all streams (8GB)")
    command.add_argument("--listen", default="0.0.0.0:4222", help="address (0.0.0.0:4222)")
    command.add_argument(
        "--monitor", default="127.0.0.1:8222", help="where it tells its health (127.0.0.1:8222)"
    )
    command.add_argument("--output", required=True, help="file to write, mode 0600")
    command.add_argument("--automations", default="", help="folder of the Secret of automations")
    command.add_argument(
        "--follow", action="store_true", help="go on, and let the server know of changed ones"
    )
    command.set_defaults(run=_write_nats_configuration)


def _write_nats_configuration(asked: argparse.Namespace) -> int:
    module = importlib.import_module(f"{PACKAGE}.nats_configuration")
    code: int = module.run(asked)
    return code


def _group(commands: Commands, name: str, says: str) -> Commands:
    group = commands.add_parser(name, help=says, description=says)
    return group.add_subparsers(title="commands", metavar="COMMAND", required=True)


def _command(
    commands: Commands, name: str, module: str, function: str, says: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=says, description=says)
    command.add_argument("--data", help="data folder of the platform (DEIS_DATA; .data)")
    command.set_defaults(run=_runner(module, function))
    return command


def _runner(module: str, function: str) -> Callable[[argparse.Namespace], int]:
    def run(asked: argparse.Namespace) -> int:
        shared = importlib.import_module(f"{PACKAGE}.commands")
        code: int = shared.run(
            getattr(importlib.import_module(f"{PACKAGE}.{module}"), function), asked
        )
        return code

    return run


def _output(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-o", "--output", choices=("table", "json"), default="table", help="table or json"
    )
