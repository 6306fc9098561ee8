"""A small application on a platform, pushed as a person would: for tests and benchmarks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from integration.person import Person
from integration.platform_up import Platform, platform_up

NAME = "sample-app"
PASSWORD = "sample pass 1"
PROCFILE = "web: exec python3 server.py\n"
SERVER = """import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        text = EDITION.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Page).serve_forever()
"""


def edition(number: int) -> dict[str, str]:
    """The files of one edition: one line differs."""
    return {"Procfile": PROCFILE, "server.py": f'EDITION = "edition {number}"\n{SERVER}'}


class Entrance(Protocol):
    """A platform of either kind, as people come to it."""

    @property
    def api(self) -> str:
        """Base URL of the API."""
        ...

    def person(self, home: Path) -> Person:
        """Somebody who can reach it."""
        ...


async def registered(platform: Entrance, home: Path, name: str = "ada") -> Person:
    """Somebody with an account and an SSH key."""
    person = platform.person(home)
    await person.types(
        *("deis", "register", platform.api),
        *(f"--username={name}", f"--password={PASSWORD}", f"--email={name}@example.com"),
    )
    await keyed(person, name)
    return person


async def keyed(person: Person, name: str) -> None:
    """An SSH key for somebody who is logged in."""
    (person.home / ".ssh").mkdir(mode=0o700)
    key = str(person.home / ".ssh" / "id_ed25519")
    await person.types(
        "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"{name}@laptop", "-f", key
    )
    await person.types("deis", "keys:add", f"{key}.pub")


async def repository(person: Person, files: dict[str, str], app: str = NAME) -> None:
    """A repository with one commit, and an application for it; the person is in it."""
    person.folder = person.home / app
    person.writes(files)
    await person.types("git", "init", "-q", "-b", "main")
    await person.types("git", "add", ".")
    await person.types("git", "commit", "-q", "-m", "the first commit")
    await person.types("deis", "create", app)


async def commit(person: Person, files: dict[str, str]) -> None:
    """One more commit with these files changed."""
    person.writes(files)
    await person.types("git", "add", ".")
    await person.types("git", "commit", "-q", "-m", "a change")


@asynccontextmanager
async def pushed(folder: Path, *options: str) -> AsyncIterator[tuple[Platform, Person]]:
    """A platform with the application's first edition."""
    async with platform_up(folder / "data", *options) as platform:
        person = await registered(platform, folder / "home")
        await repository(person, edition(0))
        await person.types("git", "push", "deis", "main", says=f"{NAME}:v2 deployed")
        yield platform, person
