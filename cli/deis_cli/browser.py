"""Opening a page in whatever browser there is."""

import asyncio
import shutil
import sys
from collections.abc import Mapping

from deis_cli.errors import CliError

OPENERS = {"darwin": ("open",), "win32": ("cmd", "/c", "start")}


async def show(url: str, environ: Mapping[str, str]) -> None:
    """Hand the URL to the system's opener. Raises CliError when there is none or it fails."""
    argv = OPENERS.get(sys.platform, ("xdg-open",))
    program = shutil.which(argv[0], path=environ.get("PATH"))
    if program is None:
        raise CliError(f"{argv[0]} is not installed; the page is {url}")
    process = await asyncio.create_subprocess_exec(program, *argv[1:], url, env=dict(environ))
    if await process.wait():
        raise CliError(f"{argv[0]} could not open {url}")
