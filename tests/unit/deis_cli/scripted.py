"""A server that speaks the wire of api.md from a script, and a person who types commands at it."""

import asyncio
import io
import json
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from deis_cli import main, session
from deis_cli.screen import Screen
from deis_cli.session import Session
from deis_cli.state import State

Answer = tuple[int, Any] | web.StreamResponse
Handler = Callable[[web.Request], Awaitable[Answer]]
TOKEN = "0123456789abcdef0123456789abcdef01234567"
PROGRAM = "import sys; sys.argv[0] = 'deis'; from deis_cli.main import main; main()"
VERSIONS = {"DEIS_API_VERSION": "2.3", "DEIS_PLATFORM_VERSION": "2.3.0"}


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    body: Any
    headers: Mapping[str, str]


@dataclass
class Scripted:
    """Answers by method and path; `"GET /v2/apps/"` or a handler for more than one answer."""

    url: str = ""
    answers: dict[str, Answer | Handler] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=lambda: dict(VERSIONS))

    def says(self, line: str, status: int, body: Any = None) -> None:
        """Script one answer."""
        self.answers[line] = (status, body)

    def paths(self) -> list[str]:
        """What was asked, as lines."""
        return [f"{one.method} {one.path}" for one in self.asked]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request."""
        raw = await request.read()
        body = json.loads(raw) if raw else None
        self.asked.append(Asked(request.method, request.path_qs, body, request.headers))
        found = self.answers.get(f"{request.method} {request.path_qs}")
        found = found or self.answers.get(f"{request.method} {request.path}")
        if found is None:
            return web.json_response("Not found.", status=404, headers=self.headers)
        answer = await found(request) if callable(found) else found
        if isinstance(answer, web.StreamResponse):
            return answer
        status, value = answer
        if value is None:
            return web.Response(status=status, headers=self.headers)
        return web.json_response(value, status=status, headers=self.headers)


@asynccontextmanager
async def scripted() -> AsyncIterator[Scripted]:
    """The server on a free port; `GET /v2/` answers 401 as a controller does."""
    server = Scripted()
    server.says("GET /v2/", 401, {"detail": "Authentication credentials were not provided."})
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        server.url = f"http://deis.localhost:{port}"
        yield server
    finally:
        await runner.cleanup()


class Typed(io.StringIO):
    """Standard input: what a person at a terminal types, or a pipe."""

    def __init__(self, text: str, *, terminal: bool) -> None:
        super().__init__(text)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


class Terminal(io.StringIO):
    """Standard output or error that is a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass
class Printed:
    """How a command ended."""

    code: int
    out: str
    err: str


class Person:
    """Types commands in a home folder of their own."""

    def __init__(self, home: Path, server: Scripted) -> None:
        self.home = home
        self.server = server
        self.folder = home / "work"
        self.out: Callable[[], io.StringIO] = io.StringIO
        self.folder.mkdir(parents=True)
        self.environ = {
            "HOME": str(home),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CEILING_DIRECTORIES": str(home),
            "LANG": "C.UTF-8",
        }

    @property
    def profile(self) -> Path:
        return self.home / ".deis" / "client.json"

    def logged_in(self, username: str = "ada") -> None:
        """A profile as a login leaves it."""
        session.save(self.profile, Session(username, self.server.url, TOKEN))

    async def types(self, *argv: str, stdin: str = "", terminal: bool = False) -> Printed:
        """Run the client in this process, in a thread with a loop of its own."""
        out, err = self.out(), io.StringIO()
        state = State(
            screen=Screen(out, err),
            stdin=Typed(stdin, terminal=terminal),
            environ=self.environ,
            folder=self.folder,
        )
        code = await asyncio.to_thread(main.run, list(argv), state)
        return Printed(code, out.getvalue(), err.getvalue())

    async def starts(self, *argv: str, **streams: Any) -> asyncio.subprocess.Process:
        """The client as a process of its own, its streams pipes unless told otherwise."""
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.PIPE)
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, *argv),
            **(pipes | streams),
            cwd=self.folder,
            env=self.environ | {"PYTHONSAFEPATH": "1"},
        )

    async def git(self, *argv: str) -> str:
        """git, in the present folder."""
        process = await asyncio.create_subprocess_exec(
            "git", *argv, cwd=self.folder, env=self.environ, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        return out.decode()


def untimed(text: str) -> str:
    """Without the seconds that a command took."""
    return re.sub(r"done in \d+s", "done in 0s", text)


def rendered(text: str) -> str:
    """What a terminal shows of it: backspaces go back, what comes then is written over."""
    shown: list[str] = []
    place = 0
    for letter in text.replace("\r\n", "\n"):
        if letter == "\b":
            place -= 1
            continue
        shown[place : place + 1] = [letter]
        place += 1
    return "\n".join(line.rstrip() for line in "".join(shown).split("\n"))
