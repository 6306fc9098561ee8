"""One platform with one application: its memory, a push, a rollback.

    python -m integration.bench.platform

Baselines of the same run: memory of the servers alone; `git push` of the same commit to a local
path, and (where the machine has sshd) to git-receive-pack behind OpenSSH; the application started
by hand until it answers.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from integration.bench.figures import line
from integration.bench.memory import pss_of_platform
from integration.bench.openssh import openssh
from integration.person import Person
from integration.platform_up import Platform, platform_up
from integration.router_rig import free_port

PUSHES = 7
ROLLBACKS = 6
IDLE_SECONDS = 5.0
NAME = "bench-app"
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


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Page).serve_forever()
"""


class Pages:
    """Asks for the page over a kept connection until it says what it should."""

    def __init__(self, port: int, session: aiohttp.ClientSession) -> None:
        self._url = f"http://127.0.0.1:{port}/"
        self._session = session
        self._headers = {"Host": f"{NAME}.localhost"}

    async def says(self, text: str) -> float:
        """When (`time.monotonic`) the page first said this."""
        while True:
            try:
                async with self._session.get(self._url, headers=self._headers) as answer:
                    if answer.status == 200 and await answer.text() == text:
                        return time.monotonic()
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.004)


def edition(number: int) -> dict[str, str]:
    """The files of one edition: one line differs."""
    return {"Procfile": PROCFILE, "server.py": f'EDITION = "edition {number}"\n{SERVER}'}


@asynccontextmanager
async def pushed(folder: Path) -> AsyncIterator[tuple[Platform, Person]]:
    """A platform with the application's first edition."""
    async with platform_up(folder / "data") as platform:
        person = Person(folder / "home")
        (person.home / ".ssh").mkdir(mode=0o700)
        key = str(person.home / ".ssh" / "id_ed25519")
        await person.types("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
        await person.types(
            "deis", "register", platform.api,
            "--username=ada", "--password=bench mark 1", "--email=ada@example.com",
        )  # fmt: skip
        await person.types("deis", "keys:add", f"{key}.pub")
        person.folder = person.home / "app"
        person.writes(edition(0))
        await person.types("git", "init", "-q", "-b", "main")
        await person.types("git", "add", ".")
        await person.types("git", "commit", "-q", "-m", "edition 0")
        await person.types("deis", "create", NAME)
        await person.types("git", "push", "deis", "main")
        yield platform, person


async def memory(platform: Platform) -> None:
    """PSS of everything, idle, the application's own processes left out."""
    await asyncio.sleep(IDLE_SECONDS)
    found = pss_of_platform(int(platform.ready["pid"]))
    servers = found.servers / 1e6
    line(
        "PSS of everything, idle, one app", "MB", [found.total / 1e6], base=[servers],
        reach="< 300 MB", met=found.total < 300e6,
        note=f"baseline: NATS, PostgreSQL and nginx alone; {found.processes} processes",
    )  # fmt: skip


async def pushes(platform: Platform, person: Person, pages: Pages, folder: Path) -> None:
    """Push start to the first page of the new release, less the buildpack's own time."""
    ours, whole, local, ssh = [], [], [], []
    await person.types("git", "init", "-q", "--bare", str(folder / "bare.git"))
    await person.types("git", "remote", "add", "bare", str(folder / "bare.git"))
    async with openssh(folder, person) as remote:
        if remote:
            await person.types("git", "remote", "add", "openssh", remote)
        for number in range(1, PUSHES + 1):
            person.writes(edition(number))
            await person.types("git", "commit", "-q", "-a", "-m", f"edition {number}")
            local.append((await person.types("git", "push", "bare", "main")).seconds)
            if remote:
                ssh.append((await person.types("git", "push", "openssh", "main")).seconds)
            began = time.monotonic()
            seen = asyncio.create_task(pages.says(f"edition {number}"))
            await person.types("git", "push", "deis", "main")
            taken = await seen - began
            version = f"v{number + 2}"
            told = await person.types("deis", "releases:info", version, "-o", "json")
            stages = json.loads(told.output)["stages"]
            whole.append(taken)
            ours.append(taken - stages.get("compile", 0.0))
    note = f"whole push {statistics.median(whole):.2f} s; baseline: git push to a local path"
    line("push of one line to its first page, less the buildpack", "s", ours, base=local,
         reach="< 1.5 s median", met=statistics.median(ours) < 1.5, note=note)  # fmt: skip
    if ssh:
        line("baseline: git push to git-receive-pack behind OpenSSH", "s", ssh, base=local)


async def rollbacks(platform: Platform, person: Person, pages: Pages, folder: Path) -> None:
    """From the request to the first page of the old release, back and forth."""
    profile = json.loads((person.home / ".deis" / "client.json").read_text())
    headers = {
        "Authorization": f"token {profile['token']}",
        "Host": f"deis.localhost:{platform.port}",
    }
    url = f"http://127.0.0.1:{platform.port}/v2/apps/{NAME}/releases/rollback/"
    ours, bare = [], []
    async with aiohttp.ClientSession(headers=headers) as session:
        for number in range(ROLLBACKS):
            version = 2 + number % 2  # v2 is edition 0, v3 edition 1
            began = time.monotonic()
            seen = asyncio.create_task(pages.says(f"edition {version - 2}"))
            async with session.post(url, json={"version": version}) as answer:
                if answer.status != 201:
                    raise RuntimeError(f"rollback: {answer.status} {await answer.text()}")
            ours.append(await seen - began)
            bare.append(await by_hand(folder))
    line("rollback to serving", "s", ours, base=bare, reach="< 2 s",
         met=max(ours) < 2.0, note="baseline: the application started by hand")  # fmt: skip


async def by_hand(folder: Path) -> float:
    """Seconds until the application, started without any platform, answers."""
    (folder / "server.py").write_text(edition(0)["server.py"])
    port = free_port()
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(folder / "server.py"), env=os.environ | {"PORT": str(port)}
    )
    try:
        async with aiohttp.ClientSession() as session:
            await Pages(port, session).says("edition 0")
        return time.monotonic() - began
    finally:
        process.kill()
        await process.wait()


async def measure(folder: Path) -> None:
    """All three, on one platform."""
    async with pushed(folder) as (platform, person), aiohttp.ClientSession() as session:
        pages = Pages(platform.port, session)
        await memory(platform)
        await pushes(platform, person, pages, folder)
        await rollbacks(platform, person, pages, folder)


def main() -> None:
    """Measure."""
    with tempfile.TemporaryDirectory(prefix="deis-") as folder:
        Path(folder).chmod(0o711)
        asyncio.run(measure(Path(folder)))


if __name__ == "__main__":
    main()
