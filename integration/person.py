"""A person at a terminal: types commands, reads what they print, looks at the page."""

import asyncio
import http.client
import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec


class CommandFailed(AssertionError):
    """A command did not do what it should have done."""


class Printed(msgspec.Struct, frozen=True):
    """What a command printed and how it ended."""

    command: str
    output: str
    code: int
    seconds: float


class Person:
    """Has a home folder, an SSH key, a repository and the `deis` client; nothing of ours inside."""

    def __init__(
        self,
        home: Path,
        echo: Callable[[str], None] | None = None,
        *,
        router: str = "127.0.0.1",
        prefix: tuple[str, ...] = (),
    ) -> None:
        self.home = home
        self.router = router
        """Address of the router."""
        self.prefix = prefix
        """Before every command: what it runs in."""
        self.folder = home
        self._echo = echo or (lambda _: None)
        home.mkdir(parents=True, exist_ok=True)
        key = home / ".ssh" / "id_ed25519"
        ssh = (
            f"ssh -F none -i {shlex.quote(str(key))} -o IdentitiesOnly=yes -o BatchMode=yes"
            f" -o StrictHostKeyChecking=accept-new"
            f" -o UserKnownHostsFile={shlex.quote(str(home / '.ssh' / 'known_hosts'))}"
        )
        self.environ = {
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "GIT_SSH_COMMAND": ssh,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "A Person",
            "GIT_AUTHOR_EMAIL": "person@example.com",
            "GIT_COMMITTER_NAME": "A Person",
            "GIT_COMMITTER_EMAIL": "person@example.com",
            "PYTHONSAFEPATH": "1",
        }

    async def types(
        self, *argv: str, code: int | None = 0, shown: str | None = None, says: str = ""
    ) -> Printed:
        """Run a command in the present folder; fails when it ends otherwise or says otherwise.

        `shown` replaces the command's text where it holds a password; `code` None takes any.
        """
        text = shown or shlex.join(argv)
        self._echo(f"$ {text}")
        started = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *self.prefix,
            *argv,
            cwd=self.folder,
            env=self.environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            raw, _ = await asyncio.wait_for(process.communicate(), 180)
        except BaseException:
            process.kill()
            await process.wait()
            raise
        output = raw.decode(errors="replace")
        self._echo(_readable(output))
        printed = Printed(text, output, process.returncode or 0, time.monotonic() - started)
        if code is not None and printed.code != code:
            raise CommandFailed(f"`{text}` ended with {printed.code}, not {code}:\n{output}")
        if says and says not in output:
            raise CommandFailed(f"`{text}` did not say {says!r}:\n{output}")
        return printed

    def writes(self, files: dict[str, str]) -> None:
        """Put files into the present folder."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    async def sees(self, host: str, port: int, path: str = "/") -> tuple[int, str]:
        """Status and text of a page, as a browser would ask the router for it."""
        return await asyncio.to_thread(_fetch, self.router, host, port, path)


def _fetch(router: str, host: str, port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(router, port, timeout=30)
    try:
        connection.request("GET", path, headers={"Host": f"{host}:{port}"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


def _readable(output: str) -> str:
    """Without the escapes and carriage returns that only a terminal shows."""
    shown = output.replace("remote: \x1b[1G", "").replace("\x1b[1G", "").replace("\x1b[K", "")
    lines = shown.replace("\r", "\n").rstrip().splitlines()
    return "\n".join(line.rstrip() for line in lines)
