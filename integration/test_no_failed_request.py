"""Requests flow at the router while an application changes; none of them may fail (DESIGN 10).

`make test` runs 3 rounds with one instance and with three, `make soak` DEIS_SOAK_ROUNDS (50).
"""

import os
from pathlib import Path

import pytest

from integration.person import Person
from integration.sample_app import NAME, commit, edition, pushed
from integration.traffic import Traffic, traffic

pytestmark = [pytest.mark.server]

ROUNDS = 3


@pytest.mark.timeout(400)
@pytest.mark.parametrize("instances", [1, 3])
async def test_no_request_fails_while_an_app_changes(tmp_path: Path, instances: int) -> None:
    await rounds(tmp_path, instances, ROUNDS)


@pytest.mark.soak
@pytest.mark.timeout(7000)
@pytest.mark.parametrize("instances", [1, 3])
async def test_no_request_fails_in_many_rounds(tmp_path: Path, instances: int) -> None:
    await rounds(tmp_path, instances, int(os.environ.get("DEIS_SOAK_ROUNDS", "50")))


async def rounds(folder: Path, instances: int, count: int) -> None:
    """Deploy, configure, restart, scale and roll back, that many times, under traffic."""
    async with pushed(folder) as (platform, person):
        await person.types("deis", "ps:scale", f"web={instances}")
        async with traffic(platform.port, f"{NAME}.localhost") as seen:
            version = 2
            for number in range(1, count + 1):
                version = await one_round(person, seen, instances, number, version)
                assert not seen.failures, (number, seen.failures[:5], platform.log())
        print(f"{instances} instances, {count} rounds: {seen.answered} requests, none failed")
    assert not seen.failures, seen.failures[:5]
    assert {f"edition {number}".encode() for number in range(count + 1)} <= set(seen.bodies)


async def one_round(
    person: Person, seen: Traffic, instances: int, number: int, version: int
) -> int:
    """Every kind of change once; gives the newest release."""
    await commit(person, edition(number))
    await person.types("git", "push", "deis", "main", says=f"{NAME}:v{version + 1} deployed")
    await seen.some_more()
    await person.types("deis", "config:set", f"ROUND={number}")
    await seen.some_more()
    await person.types("deis", "ps:restart", "web")
    await seen.some_more()
    await person.types("deis", "ps:scale", f"web={instances + 2}")
    await seen.some_more()
    await person.types("deis", "ps:scale", f"web={instances}")
    await seen.some_more()
    await person.types("deis", "rollback", f"v{version}", says=f"v{version + 3}")
    await seen.some_more()
    return version + 3
