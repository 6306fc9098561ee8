"""`kill -9` in the middle of a push and of a deploy, of every server and service (DESIGN 1).

Afterwards: no acknowledged write lost, nothing running twice, each release number used once, every
committed event on the stream, the cut-off push can be pushed again, no process left behind. While
what does not lie in their way is killed, requests to the application go on without a failure.
"""

import asyncio
import os
import random
from pathlib import Path

import pytest

from integration.under_fire import WHOLE, UnderFire, under_fire
from integration.victims import SERVERS, SERVICES

pytestmark = [pytest.mark.server, pytest.mark.timeout(420)]


async def test_killed_servers_and_platform(tmp_path: Path) -> None:
    async with under_fire(tmp_path) as fire:
        for name in (*SERVERS, WHOLE):
            await fire.in_the_middle(name)


async def test_killed_services_that_are_processes(tmp_path: Path) -> None:
    async with under_fire(tmp_path, "--processes") as fire:
        for name in (*SERVICES, WHOLE):
            await fire.in_the_middle(name)


@pytest.mark.soak
@pytest.mark.timeout(7000)
async def test_random_kills(tmp_path: Path) -> None:
    """DEIS_SOAK_ROUNDS rounds; DEIS_SOAK_SEED repeats those of another run."""
    seed = int(os.environ.get("DEIS_SOAK_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
    print(f"DEIS_SOAK_SEED={seed}")
    chosen = random.Random(seed)
    async with under_fire(tmp_path, "--processes") as fire:
        for number in range(int(os.environ.get("DEIS_SOAK_ROUNDS", "50"))):
            await one_round(fire, chosen, number)


async def one_round(fire: UnderFire, chosen: random.Random, number: int) -> None:
    """Some change, and somewhere in it the death of something, or of two."""
    change = chosen.choice(CHANGES)
    names = chosen.sample((*SERVERS, *SERVICES, WHOLE), chosen.choice((1, 1, 2)))
    moments = [chosen.uniform(0, MOMENT_SECONDS) for _ in names]
    told = ", ".join(f"{name} {moment:.2f} s" for name, moment in zip(names, moments, strict=True))
    print(f"round {number}: in a {change} dies {told}")
    changing = asyncio.create_task(CHANGES_OF[change](fire, number))
    for name, moment in zip(names, moments, strict=True):
        await asyncio.wait({changing}, timeout=moment)
        await fire.kill(name)
    await changing
    await fire.holds()


async def _push(fire: UnderFire, _number: int) -> None:
    await fire.next_edition()
    await fire.pushed(await fire.push())


async def _configuration(fire: UnderFire, number: int) -> None:
    value = f"round{number}"
    await fire.configured(value, await fire.configure(f"KEPT={value}"))


async def _scale(fire: UnderFire, number: int) -> None:
    count = 1 + number % 3
    done = await fire.person.types("deis", "ps:scale", f"web={count}", code=None)
    await fire.scaled(count, done)


async def _restart(fire: UnderFire, _number: int) -> None:
    await fire.person.types("deis", "ps:restart", "web", code=None)


CHANGES_OF = {
    "push": _push,
    "configuration": _configuration,
    "scale": _scale,
    "restart": _restart,
}
CHANGES = tuple(CHANGES_OF)
MOMENT_SECONDS = 2.0
"""A change takes about that long; a kill comes at any time in it."""
