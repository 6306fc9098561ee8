"""The names that follow from what the client is called when it is started (cli.md 1.4)."""

import re
from dataclasses import dataclass
from pathlib import PurePath

SUFFIXES = (".app", ".bat", ".com", ".exe", ".sh")


@dataclass(frozen=True, slots=True)
class Brand:
    """`deis` unless the executable was renamed."""

    name: str = "deis"

    @property
    def profile_variable(self) -> str:
        """Environment variable that names the profile, `DEIS_PROFILE`."""
        return re.sub(r"[^A-Z0-9]", "_", self.name.upper()) + "_PROFILE"

    @property
    def remote(self) -> str:
        """Name of the git remote."""
        return re.sub(r"[^a-z0-9]", "-", self.name.lower())

    @property
    def folder(self) -> str:
        """Folder of profiles in the home folder."""
        return f".{self.name}"


def brand_of(program: str) -> Brand:
    """The brand of `argv[0]`; `python -m` and empty names count as `deis`."""
    name = PurePath(program.replace("\\", "/")).name
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return Brand() if not name or name.startswith(("__main__", "main.py", "-")) else Brand(name)
