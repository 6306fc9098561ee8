"""What the operator's commands share: one loop, faults as one clear line, text or JSON."""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable

from deis_bus.automation import BadName
from deis_bus.cursors import BadCursor, Gone
from deis_bus.errors import BusError
from deis_platform import logs
from deis_platform.embedded.errors import ServerFailed
from deis_platform.settings import SettingsError
from deis_services.platform_cli.reach import Reach, reach
from deis_services.platform_cli.screen import complain, say

Command = Callable[[Reach, argparse.Namespace], Awaitable[int]]
FAULTS = (BusError, ServerFailed, BadName, BadCursor, Gone, OSError)
INTERRUPTED = 130
LIMIT_SECONDS = 60.0
"""A command that hangs would help nobody; migrations of a spine take a moment."""


def run(command: Command, asked: argparse.Namespace) -> int:
    """Run a command; the exit code: its own, 1 for a fault, 2 for a wrong environment, 130 for
    Ctrl-C."""
    logs.set_up(level="error", stream=sys.stderr)
    try:
        found = reach(asked.data)
        return asyncio.run(_limited(command(found, asked)))
    except KeyboardInterrupt:
        return INTERRUPTED
    except TimeoutError:
        complain(f"nothing has come of it within {LIMIT_SECONDS:g} s: try `deis-platform doctor`")
        return 1
    except SettingsError as fault:
        complain(str(fault))
        return 2
    except FAULTS as fault:
        complain(str(fault) or type(fault).__name__)
        return 1


async def _limited(work: Awaitable[int]) -> int:
    async with asyncio.timeout(LIMIT_SECONDS):
        return await work


def show(asked: argparse.Namespace, data: object, text: str) -> None:
    """Print `data` where JSON was asked for, else `text`."""
    say(json.dumps(data, indent=2) if asked.output == "json" else text)
