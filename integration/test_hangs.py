"""NATS or PostgreSQL hung for a minute (SIGSTOP): applications serve on, the API says 503 with
`Retry-After`, and everything is back afterwards without a restart (DESIGN 9)."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from integration.person import Person
from integration.platform_up import Platform
from integration.sample_app import NAME, commit, edition, pushed
from integration.servers import until
from integration.test_up_life import family
from integration.test_wrong_pushes import executable, waits_for
from integration.traffic import traffic
from integration.truth import holds, rows
from integration.victims import send

pytestmark = [pytest.mark.server, pytest.mark.timeout(400)]

MINUTE = 60.0
SERVERS = ("nats", "postgres")


async def test_servers_that_hang_for_a_minute_harm_nothing(tmp_path: Path) -> None:
    """Each on a platform of its own; both at once, since a minute of waiting costs nothing."""
    async with asyncio.TaskGroup() as group:
        for server in SERVERS:
            place = tmp_path / server
            place.mkdir(mode=0o711)
            group.create_task(hangs(place, server), name=server)


async def hangs(folder: Path, server: str) -> None:
    """A hung server while requests flow, a build runs and somebody waits for its push."""
    async with pushed(folder) as (platform, person):
        gate = folder / "gate"
        await commit(person, edition(1) | {"bin/pre-compile": f"#!/bin/bash\n{waits_for(gate)}\n"})
        await executable(person, "bin/pre-compile")
        async with traffic(platform.port, f"{NAME}.localhost", 1) as seen:
            pushing = asyncio.create_task(person.types("git", "push", "deis", "main", code=None))
            await until(gate.with_name("gate.waits").exists, "the build begins")
            async with stopped(platform, server):
                await for_a_minute(platform)
                gate.touch()
            await until(lambda: _api_is_back(platform), "the API answers again")
            done = await pushing
            assert f"{NAME}:v3 deployed" in done.output, (server, done.output, platform.log())
            assert not seen.failures, (server, seen.failures[:5])
        attempts = await rows(platform, "SELECT max(attempt) AS n FROM pushes")
        assert attempts[0]["n"] == 1, f"{server}: the build was begun anew"
        await works(person)
        await holds(platform, person, NAME)


@asynccontextmanager
async def stopped(platform: Platform, server: str) -> AsyncIterator[None]:
    """Every process of a server stands still while the context lasts."""
    top = int(platform.ready["pids"][server])
    hung = [process.pid for process in family(top)]
    hung = [pid for pid in hung if send(pid, signal.SIGSTOP)]
    try:
        yield
    finally:
        for pid in hung:
            send(pid, signal.SIGCONT)


async def for_a_minute(platform: Platform) -> None:
    """Ask the API over and over for a minute: 503 each time, with a hint when to come again."""
    clock = asyncio.get_running_loop()
    end = clock.time() + MINUTE
    answers: list[tuple[int, str]] = []
    async with aiohttp.ClientSession() as session:
        while clock.time() < end:
            answers.append(await _ask(session, platform))
    assert {status for status, _ in answers} == {503}, answers
    assert all(wait.isdigit() for _, wait in answers), answers


async def _ask(session: aiohttp.ClientSession, platform: Platform) -> tuple[int, str]:
    url = f"http://127.0.0.1:{platform.port}/v2/apps"
    headers = {"Host": f"deis.localhost:{platform.port}", "Authorization": "token abc"}
    async with session.get(url, headers=headers) as answer:
        return answer.status, answer.headers.get("Retry-After", "")


async def _api_is_back(platform: Platform) -> bool:
    async with aiohttp.ClientSession() as session:
        status, _ = await _ask(session, platform)
    return status == 401


async def works(person: Person) -> None:
    """Configure and push once more."""
    await person.types("deis", "config:set", "AFTER=1", says="AFTER")
    await commit(person, edition(2) | {"bin/pre-compile": "#!/bin/bash\ntrue\n"})
    await person.types("git", "push", "deis", "main", says=f"{NAME}:v5 deployed")
