"""`deis-platform`: runs the platform or one of its services, and the operator's commands.

The only module that may import services, and it does so when one is asked for: `--help` is fast.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from deis_services.platform_cli import arguments
from deis_services.platform_cli.services import NODE_SERVICES, SERVICES, Serve


def door(name: str) -> tuple[Serve, type[Any]]:
    """The `serve` and `Settings` of a service."""
    service = importlib.import_module(f"deis_services.{name}.service")
    settings = importlib.import_module(f"deis_services.{name}.settings")
    return service.serve, settings.Settings


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; ends with SystemExit."""
    asked = parser().parse_args(arguments)
    raise SystemExit(asked.run(asked))


def parser() -> argparse.ArgumentParser:
    """All sub-commands."""
    top = argparse.ArgumentParser(prog="deis-platform", description=__doc__.split("\n")[0])
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    up = commands.add_parser("up", help="run the platform here until Ctrl-C")
    up.set_defaults(run=run_up)
    up.add_argument("--data", help="data folder (DEIS_DATA; .data)")
    up.add_argument("--host", help="address to listen on (DEIS_HOST; 127.0.0.1)")
    up.add_argument("--port", type=int, help="HTTP (DEIS_PORT; 8000); 0: any")
    up.add_argument("--https-port", type=int, help="HTTPS (DEIS_HTTPS_PORT; 8443); 0: any")
    up.add_argument("--ssh-port", type=int, help="git (DEIS_SSH_PORT; 2222); 0: any")
    up.add_argument(
        "--processes", action="store_true", default=None, help="each service as its own process"
    )

    run = commands.add_parser("run", help="run one service, with settings from DEIS_*")
    run.set_defaults(run=run_one)
    run.add_argument("service", choices=sorted((*SERVICES, *NODE_SERVICES)), metavar="SERVICE")

    arguments.add(commands)
    helping = commands.add_parser("help", help="print this, or how COMMAND is used")
    helping.set_defaults(run=run_help)
    helping.add_argument("words", nargs="*", metavar="COMMAND")
    commands.add_parser("version", help="print the version").set_defaults(run=run_version)
    return top


def run_up(asked: argparse.Namespace) -> int:
    """`up`."""
    from deis_platform.settings import SettingsError, load
    from deis_services.platform_cli.options import Options
    from deis_services.platform_cli.screen import complain
    from deis_services.platform_cli.up import up

    names = ("data", "host", "port", "https_port", "ssh_port", "processes")
    given = {name: getattr(asked, name) for name in names if getattr(asked, name) is not None}
    try:
        options = replace(load(Options, os.environ), **given)
    except SettingsError as fault:
        complain(str(fault))
        return 2
    return up(options, os.environ, door)


def run_one(asked: argparse.Namespace) -> int:
    """`run SERVICE`."""
    from deis_platform.runner import run_service

    serve, kind = door(asked.service)
    if asked.service == "controller":
        serve = _ending_automations(serve)
    run_service(serve, kind)
    return 0


def _ending_automations(serve: Serve) -> Serve:
    """On Kubernetes: there the controller's account may write what they are kept in."""
    if not os.environ.get("DEIS_AUTOMATIONS_SECRET"):
        return serve
    from deis_services.platform_cli.automation_end import beside

    return beside(serve)


def run_help(asked: argparse.Namespace) -> int:
    """`help`; ends with SystemExit, as `--help` does."""
    parser().parse_args([*asked.words, "--help"])
    return 0


def run_version(_: argparse.Namespace) -> int:
    """`version`."""
    sys.stdout.write(f"{version('deis-workflow')}\n")
    return 0


if __name__ == "__main__":
    main()
