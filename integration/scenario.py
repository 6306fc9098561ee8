"""The main job, step by step, as a person does it: shared by `make demo` and the acceptance test.

Every step checks what it claims; the first that does not hold ends the scenario.
"""

import asyncio
import json
import re
from collections.abc import Callable
from typing import Protocol

from integration.person import CommandFailed, Person

APP = '''"""A page that greets, counts on the environment, and says which release it is."""
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from humanize import ordinal

VISITS = iter(range(1, 10**9))


class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        text = "{greeting} from {release}, {visit} visit, edition {edition}\\n".format(
            greeting=os.environ.get("GREETING", "Hello"),
            release=os.environ.get("WORKFLOW_RELEASE", "?"),
            visit=ordinal(next(VISITS)),
            edition=EDITION,
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        print("page served", flush=True)

    def log_message(self, *args):
        pass


ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Page).serve_forever()
'''
FILES = {
    "requirements.txt": "humanize==4.12.3\n",
    "Procfile": "web: python app.py\n",
    "app.py": 'EDITION = "first"\n' + APP,
}
NAME = "amber-otter"
PASSWORD = "correct horse battery"


class Platform(Protocol):
    """What the scenario needs of the platform it runs on."""

    @property
    def api(self) -> str:
        """Base URL of the API."""
        ...

    @property
    def port(self) -> int:
        """Port of the router."""
        ...

    def host(self, app: str) -> str:
        """The name of an application's page."""
        ...

    async def admin(self, *argv: str) -> str:
        """What `deis-platform` prints. Raises RuntimeError when it fails."""
        ...

    async def subscriber(
        self, environ: dict[str, str], *options: str
    ) -> asyncio.subprocess.Process:
        """docs/examples/subscriber.py, running."""
        ...


class Scenario:
    """The steps; `say` gets a line for the reader before each."""

    def __init__(
        self, platform: Platform, person: Person, say: Callable[[str], None] | None = None
    ) -> None:
        self.platform = platform
        self.person = person
        self.say = say or (lambda _: None)
        self.stages: dict[str, dict[str, float]] = {}
        self._live: list[str] = []
        self._news = asyncio.Condition()
        self._herald: dict[str, str] = {}

    async def run(self) -> None:
        """Everything, in order."""
        await self.register()
        await self.automate()
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(self._subscribe(self._live))
            try:
                await self.work()
                await self.hears(5)
            finally:
                listening.cancel()
        await self.replays(5)
        await self.destroy()

    async def work(self) -> None:
        """From a repository to its fifth release."""
        await self.create()
        await self.first_push()
        await self.scale()
        await self.logs()
        await self.configure()
        await self.run_command()
        await self.second_push()
        await self.roll_back()

    async def register(self) -> None:
        """An account and an SSH key."""
        self.say("Register, and tell the platform who may push")
        typed = self.person.types
        await typed(
            "deis",
            "register",
            self.platform.api,
            "--username=ada",
            f"--password={PASSWORD}",
            "--email=ada@example.com",
            shown=f"deis register {self.platform.api} --username=ada …",
            says="Registered ada",
        )
        (self.person.home / ".ssh").mkdir(mode=0o700, exist_ok=True)
        key = str(self.person.home / ".ssh" / "id_ed25519")
        await typed("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ada@laptop", "-f", key)
        await typed("deis", "keys:add", f"{key}.pub")
        await typed("deis", "whoami", says="ada")

    async def create(self) -> None:
        """A repository and an application."""
        self.say("A repository, and an application for it")
        self.person.folder = self.person.home / "hello"
        self.person.writes(FILES)
        await self.person.types("git", "init", "-q", "-b", "main")
        await self.person.types("git", "add", ".")
        await self.person.types("git", "commit", "-q", "-m", "A page that greets")
        await self.person.types("deis", "create", NAME, says=NAME)

    async def first_push(self) -> None:
        """Push, and the page is there."""
        self.say("Push it")
        await self.person.types("git", "push", "deis", "main", says=f"Done, {NAME}:v2 deployed")
        await self.page("Hello from v2", "edition first")
        await self.keep_stages("first push", 2)

    async def scale(self) -> None:
        """Three instances."""
        self.say("Scale it to three")
        await self.person.types("deis", "scale", "web=3")
        shown = await self.person.types("deis", "ps:list")
        up = [line for line in shown.output.splitlines() if re.search(r"\bup\b", line)]
        if len(up) != 3:
            raise CommandFailed(f"not three instances are up:\n{shown.output}")

    async def logs(self) -> None:
        """What it printed."""
        self.say("Read its logs")
        await self.page("Hello from v2")
        async with asyncio.timeout(60):  # a line is on its way for some 50 ms
            for text in ("page served", "scaled pods web=3"):
                while not await self._says(text, "deis", "logs"):
                    pass
        await self.person.types("deis", "logs", "-n", "20", says=f"{NAME}[web.v2.")

    async def configure(self) -> None:
        """A changed configuration is a release."""
        self.say("Change its configuration: a new release")
        await self.person.types("deis", "config:set", "GREETING=Salut", says="Salut")
        await self.page("Salut from v3")

    async def run_command(self) -> None:
        """A command beside it."""
        self.say("Run a command in it")
        await self.person.types("deis", "run", "echo $GREETING from $DEIS_APP", says="Salut from")
        await self.person.types("deis", "run", "exit 7", code=7)

    async def second_push(self) -> None:
        """A changed line."""
        self.say("Change one line and push again")
        self.person.writes({"app.py": 'EDITION = "second"\n' + APP})
        await self.person.types("git", "commit", "-q", "-a", "-m", "A second edition")
        await self.person.types("git", "push", "deis", "main", says=f"Done, {NAME}:v4 deployed")
        await self.page("Salut from v4", "edition second")
        await self.keep_stages("second push", 4)

    async def roll_back(self) -> None:
        """The first edition again."""
        self.say("Roll it back to before all that")
        await self.person.types("deis", "rollback", "v2", says="v5")
        await self.page("Hello from v5", "edition first")
        await self.person.types("deis", "releases:list", says="ada rolled back to v2")

    async def destroy(self) -> None:
        """Nothing is left."""
        self.say("Remove it")
        await self.person.types("deis", "destroy", f"--confirm={NAME}")
        status, _ = await self.person.sees(self.platform.host(NAME), self.platform.port)
        if status != 404:
            raise CommandFailed(f"the page still answers with {status}")

    async def page(self, *wanted: str) -> None:
        """The page through the router says all of this."""
        status, text = await self.person.sees(self.platform.host(NAME), self.platform.port)
        self.say(f"> http://{self.platform.host(NAME)}:{self.platform.port}/ says: {text.strip()}")
        if status != 200 or not all(part in text for part in wanted):
            raise CommandFailed(f"the page answered {status} {text!r}, not {wanted}")

    async def keep_stages(self, title: str, version: int) -> None:
        """Where the seconds went, for the table at the end."""
        shown = await self.person.types("deis", "releases:info", f"v{version}")
        _, _, drawn = shown.output.partition("--- Where the seconds went\n")
        lines = re.findall(r"^(.+?) +(\d+\.\d+)s", drawn, re.MULTILINE)
        self.stages[title] = {name: float(text) for name, text in lines if name != "total"}

    async def automate(self) -> None:
        """Rights and a place in the log for docs/examples/subscriber.py, from now on."""
        added = await self.platform.admin("automation", "add", "herald", "-o", "json")
        self._herald = {name: str(value) for name, value in json.loads(added).items()}

    async def hears(self, releases: int) -> None:
        """The live subscriber has heard of that many releases."""
        await self._heard(self._live, releases)
        self.say("The subscriber heard, live:\n" + "\n".join(ours(self._live)))

    async def replays(self, releases: int) -> None:
        """From the beginning again: the same releases, in the same order."""
        self.say("The subscriber again, from the beginning of the log")
        await self.platform.admin("automation", "rewind", "herald", "--since", "beginning")
        replayed: list[str] = []
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(self._subscribe(replayed))
            try:
                await self._heard(replayed, releases)
            finally:
                listening.cancel()
        self.say("\n".join(ours(replayed)))
        if ours(replayed) != ours(self._live):
            raise CommandFailed(f"live {self._live} is not what was replayed: {replayed}")

    async def _heard(self, lines: list[str], releases: int) -> None:
        async with asyncio.timeout(60), self._news:
            await self._news.wait_for(lambda: len(ours(lines)) >= releases)

    async def _subscribe(self, lines: list[str], *options: str) -> None:
        """Run the subscriber; its lines go into `lines` as they come."""
        process = await self.platform.subscriber(self.person.environ | self._herald, *options)
        assert process.stdout is not None
        try:
            async with asyncio.timeout(240):
                async for line in process.stdout:
                    async with self._news:
                        lines.append(line.decode().rstrip())
                        self._news.notify_all()
                await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def _says(self, text: str, *argv: str) -> bool:
        """Whether a command says this now."""
        echo, self.person._echo = self.person._echo, lambda _: None
        try:
            return text in (await self.person.types(*argv, code=None)).output
        finally:
            self.person._echo = echo


def ours(lines: list[str]) -> list[str]:
    """What a subscriber has heard of the scenario's application; there may be others."""
    return [line for line in lines if line.startswith(f"release of {NAME}:")]
