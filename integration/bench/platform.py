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
from pathlib import Path

import aiohttp

from deis_platform.embedded.ports import free_port
from integration.bench.figures import line
from integration.bench.memory import pss_of_platform
from integration.bench.openssh import openssh
from integration.person import Person
from integration.platform_up import Platform
from integration.sample_app import NAME, commit, edition, pushed

PUSHES = 7
ROLLBACKS = 6
IDLE_SECONDS = 5.0


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
            await commit(person, edition(number))
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
            ours.append(taken - stages["build compile"])
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
