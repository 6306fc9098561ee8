"""The git remotes of a folder, and which of them are ours (cli.md 4)."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from deis_cli.errors import CliError

BUILDER_PORT = 2222


class Remote(msgspec.Struct, frozen=True):
    """A remote and the URL it pushes to."""

    name: str
    url: str


class Builder(msgspec.Struct, frozen=True):
    """Where one pushes: the advertised git address, or the one derived from the controller's."""

    base: str
    """`ssh://git@host:port`."""
    mark: str
    """What the URL of a remote of ours contains."""

    def url(self, app: str) -> str:
        """The URL of an application's repository."""
        return f"{self.base}/{app}.git"


def builder_of(advertised: str, controller: str) -> Builder:
    """The builder of a controller: as advertised, else `<first label>-builder.<rest>`."""
    if advertised:
        base = advertised.rstrip("/")
        return Builder(base, urlsplit(base).netloc.rpartition("@")[2])
    host = urlsplit(controller).hostname or ""
    first, dot, rest = host.partition(".")
    derived = f"{first}-builder{dot}{rest}"
    return Builder(f"ssh://git@{derived}:{BUILDER_PORT}", derived)


def app_of(url: str) -> str:
    """The application of a remote's URL: its last part up to the first dot."""
    return url.rsplit("/", 1)[-1].split(".", 1)[0]


def ours(remotes: list[Remote], builder: Builder) -> list[Remote]:
    """The remotes that lead to this builder, in git's order."""
    pattern = re.compile(rf"(^|[@/]){re.escape(builder.mark)}([:/]|$)")
    return [remote for remote in remotes if pattern.search(remote.url)]


class Git:
    """git in a folder. Raises CliError with git's own words when it fails."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._environ = environ

    async def run(self, *argv: str) -> str:
        """Output of `git …`."""
        try:
            process = await asyncio.create_subprocess_exec(
                "git",
                *argv,
                cwd=self._folder,
                env=dict(self._environ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as fault:
            raise CliError(f"git cannot be started: {fault}") from fault
        out, err = await process.communicate()
        if process.returncode:
            said = err.decode(errors="replace").strip()
            raise CliError(f"Error when running 'git {' '.join(argv)}'\n{said}")
        return out.decode(errors="replace")

    async def inside(self) -> bool:
        """Whether the folder is in a repository."""
        try:
            await self.run("rev-parse", "--git-dir")
        except CliError:
            return False
        return True

    async def remotes(self) -> list[Remote]:
        """Remotes by what they push to; none outside a repository."""
        if not await self.inside():
            return []
        found: list[Remote] = []
        for line in (await self.run("remote", "-v")).splitlines():
            name, _, rest = line.partition("\t")
            url, _, kind = rest.rpartition(" ")
            if kind == "(push)":
                found.append(Remote(name, url))
        return found

    async def add(self, name: str, url: str) -> None:
        """Add a remote."""
        await self.run("remote", "add", "--", name, url)

    async def remove(self, name: str) -> None:
        """Remove a remote."""
        await self.run("remote", "remove", "--", name)
