"""NATS or PostgreSQL hung for a minute (SIGSTOP): applications serve on, the API says 503 with
`Retry-After`, and everything is back afterwards without a restart (DESIGN 9)."""

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import pytest

from integration.person import Person
from integration.platform_up import Platform
from integration.sample_app import NAME, commit, edition, pushed
from integration.servers import until
from integration.test_up_life import family
from integration.traffic import traffic
from integration.truth import holds

pytestmark = [pytest.mark.server, pytest.mark.timeout(400)]

MINUTE = 60.0


@pytest.mark.parametrize("server", ["nats", "postgres"])
async def test_a_server_that_hangs_for_a_minute_harms_no_app(tmp_path: Path, server: str) -> None:
    async with pushed(tmp_path) as (platform, person):
        top = int(platform.ready["pids"][server])
        hung = [process.pid for process in family(top)]
        async with traffic(platform.port, f"{NAME}.localhost", 2) as seen:
            for pid in hung:
                os.kill(pid, signal.SIGSTOP)
            try:
                await for_a_minute(platform)
            finally:
                for pid in hung:
                    os.kill(pid, signal.SIGCONT)
            await until(lambda: _api_is_back(platform), "the API answers again")
            assert not seen.failures, seen.failures[:5]
            assert seen.answered > 100
        await works(person)
        await holds(platform, person, NAME)


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
    """Push and configure once more."""
    await person.types("deis", "config:set", "AFTER=1", says="AFTER")
    await commit(person, edition(1))
    await person.types("git", "push", "deis", "main", says=f"{NAME}:v4 deployed")
