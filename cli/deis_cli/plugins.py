"""Commands of others: `deis-<topic>` on the PATH takes the place of an unknown topic (cli.md 8)."""

import os
import shutil
import subprocess

from deis_cli.errors import CliError
from deis_cli.state import State


def find(state: State, name: str) -> str | None:
    """Path of the plugin's program."""
    if not name or "/" in name or "\\" in name:
        return None
    return shutil.which(f"{state.brand.name}-{name}", path=state.environ.get("PATH"))


def become(state: State, program: str, words: list[str]) -> int:
    """Become the plugin; where a process cannot be replaced, run it and give its exit code."""
    argv = [program, *(word for word in words if word)]
    environ = environment(state)
    state.screen.out.flush()
    if os.name == "posix":
        os.execve(program, argv, environ)  # noqa: S606 - that is what a plugin is
    return subprocess.run(argv, env=environ, check=False).returncode  # noqa: S603


def environment(state: State) -> dict[str, str]:
    """Our environment, and who is logged in where."""
    environ = dict(state.environ)
    if state.profile:
        environ[state.brand.profile_variable] = state.profile
    try:
        session = state.session()
    except CliError:
        return environ
    return environ | {
        "DEIS_CONTROLLER_URL": session.controller,
        "DEIS_TOKEN": session.token,
        "DEIS_USERNAME": session.username,
        "DEIS_SSL_VERIFY": str(session.ssl_verify).lower(),
        "DEIS_RESPONSE_LIMIT": str(session.limit),
    }
