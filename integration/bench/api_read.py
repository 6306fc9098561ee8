"""An API read (`GET /v2/apps/<app>`) at the gateway: one and 32 at a time.

    python -m integration.bench.api_read

Gateway and controller as two processes and as one, each beside a bare handler with the same query
on the same database, measured in turn. A bare NATS request shows what the hop itself costs.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import nats
from nats.aio.msg import Msg

from integration.bench.figures import line
from integration.bench.load import Result, load
from integration.person import Person
from integration.platform_up import Platform, platform_up
from integration.servers import nats_server

NAME = "bench-app"
PATH = f"/v2/apps/{NAME}"
RUNS = 5
SECONDS = 2.0
HOPS = 2000


@asynccontextmanager
async def bare(platform: Platform) -> AsyncIterator[str]:
    """The bare handler on the platform's database; gives its address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "integration.bench.bare_api",
        str(platform.ready["database"]), str(password_file(platform)),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        port = (await process.stdout.readline()).decode().strip()
        if not port:
            raise RuntimeError("the bare handler did not start")
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


def password_file(platform: Platform) -> Path:
    """Where the embedded database's password is."""
    return platform.data / "secrets" / "postgres"


async def token_hash(platform: Platform) -> str:
    """The one token there is, as the database knows it."""
    connection = await asyncpg.connect(
        str(platform.ready["database"]),
        password=password_file(platform).read_text().strip(),
        ssl=False,
    )
    try:
        return str(await connection.fetchval("SELECT hash FROM tokens"))
    finally:
        await connection.close()


async def registered(platform: Platform, folder: Path) -> dict[str, str]:
    """A user with an application; gives the headers of a request."""
    person = Person(folder / "home")
    await person.types(
        "deis", "register", platform.api,
        "--username=ada", "--password=bench mark 1", "--email=ada@example.com",
    )  # fmt: skip
    await person.types("deis", "create", NAME, "--no-remote")
    profile = json.loads((person.home / ".deis" / "client.json").read_text())
    return {
        "Authorization": f"token {profile['token']}",
        "X-Hash": await token_hash(platform),
    }


async def compare(title: str, folder: Path, *options: str) -> None:
    """Measure this way of running it, in turn with the bare handler."""
    async with platform_up(folder / "data", *options) as platform, bare(platform) as address:
        headers = await registered(platform, folder)
        gateway = str(platform.ready["gateway"]).removeprefix("http://")
        for connections in (1, 32):
            for where in (gateway, address):
                await load(where, where, connections, 1.0, path=PATH, headers=headers)
            ours: list[Result] = []
            base: list[Result] = []
            for _ in range(RUNS):
                for where, results in ((address, base), (gateway, ours)):
                    got = await load(where, where, connections, SECONDS, path=PATH, headers=headers)
                    results.append(got)
            report(f"API read, {title}, {connections} at a time", ours, base)


def report(what: str, ours: list[Result], base: list[Result]) -> None:
    """Rate, p50 and p99."""
    failed = sum(run.failed for run in (*ours, *base))
    note = f"baseline: bare aiohttp and asyncpg, the same query; {failed} failed"
    line(f"{what}: requests/s", "1/s", [run.rate for run in ours],
         base=[run.rate for run in base], note=note)  # fmt: skip
    line(f"{what}: p50", "ms", [run.p50_ms for run in ours], base=[run.p50_ms for run in base])
    line(f"{what}: p99", "ms", [run.p99_ms for run in ours], base=[run.p99_ms for run in base])


async def hop(folder: Path) -> None:
    """A bare request on a bare NATS, one at a time."""
    async with nats_server(folder) as server:
        answering = await nats.connect(server.url)
        asking = await nats.connect(server.url)

        async def answer(message: Msg) -> None:
            await message.respond(b"{}")

        await answering.subscribe("echo", cb=answer)
        await answering.flush()
        times = []
        for _ in range(HOPS):
            began = time.perf_counter()
            await asking.request("echo", b"{}")
            times.append((time.perf_counter() - began) * 1000)
        await asking.close()
        await answering.close()
    times.sort()
    line("baseline: a bare NATS request, one at a time", "ms", [statistics.median(times)],
         note=f"p99 {times[len(times) * 99 // 100]:.2f} ms")  # fmt: skip


async def measure(folder: Path) -> None:
    """Both ways, then the hop."""
    for title, options in (("one process", ()), ("two processes", ("--processes",))):
        place = folder / title.split()[0]
        place.mkdir()
        place.chmod(0o711)
        await compare(title, place, *options)
    await hop(folder)


def main() -> None:
    """Measure."""
    import uvloop

    with tempfile.TemporaryDirectory(prefix="deis-") as folder:
        Path(folder).chmod(0o711)
        uvloop.run(measure(Path(folder)))


if __name__ == "__main__":
    main()
