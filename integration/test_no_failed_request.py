"""Requests flow at the router while an application changes; none of them may fail (DESIGN 10).

`make test` runs 3 rounds with one instance and with three, `make soak` DEIS_SOAK_ROUNDS (50).
"""

import os
from pathlib import Path

import pytest

from integration.rest import Rest
from integration.rounds import Rounds, served
from integration.sample_app import NAME, pushed
from integration.traffic import traffic

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
    async with pushed(folder) as (platform, person), Rest(platform, person) as api:
        await api.post(f"/apps/{NAME}/scale", web=instances)
        async with traffic(platform.port, f"{NAME}.localhost") as seen:
            changes = Rounds(person, api, seen, NAME, instances, more=2)
            version = 2
            for number in range(1, count + 1):
                version = await changes.one(number, version)
                assert not seen.failures, (number, seen.failures[:5], platform.log())
        print(f"{instances} instances, {count} rounds: {seen.answered} requests, none failed")
    served(seen, count)
