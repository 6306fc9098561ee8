"""What a command may touch: environment, folder, streams and the profile, passed in."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from deis_cli import session
from deis_cli.brand import Brand
from deis_cli.errors import FAILURE, CliError
from deis_cli.screen import Screen
from deis_cli.session import Session


@dataclass(slots=True)
class State:
    """One invocation of the client."""

    screen: Screen = field(default_factory=Screen)
    stdin: TextIO = field(default_factory=lambda: sys.stdin)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    folder: Path = field(default_factory=Path.cwd)
    brand: Brand = field(default_factory=Brand)
    profile: str = ""
    """What `-c` chose."""
    inferred: str = ""
    """How the application's name was guessed, for the message of a 404."""

    @property
    def path(self) -> Path:
        """Where the profile lies."""
        return session.profile_path(self.profile, self.environ, self.brand)

    def session(self) -> Session:
        """Who is logged in. Raises CliError when nobody is."""
        return session.load(self.path)

    def terminal(self) -> bool:
        """Whether somebody can be asked."""
        return self.stdin.isatty()

    def ask(self, prompt: str, flags: str, *, hidden: bool = False) -> str:
        """Ask for a value; without a terminal fail with the flags to use instead."""
        if not self.terminal():
            what = f"for {prompt.strip(': ')}" if prompt.strip("> ") else "you"
            raise CliError(f"There is no terminal to ask {what}: use {flags}")
        if hidden and self.stdin is sys.stdin:
            import getpass

            return getpass.getpass(prompt, stream=self.screen.out)
        self.screen.write(prompt)
        line = self.stdin.readline()
        if not line:
            raise CliError("No answer was given", FAILURE)
        return line.rstrip("\r\n")

    def secret(self, given: str | None, prompt: str, flag: str) -> str:
        """A password: given, `-` for a line of standard input, or asked for without echo."""
        if given == "-":
            return self.stdin.readline().rstrip("\r\n")
        return given if given is not None else self.ask(prompt, flag, hidden=True)
