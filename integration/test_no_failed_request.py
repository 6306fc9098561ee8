"""Requests flow at the router while an application changes; none of them may fail (DESIGN 10).

`make test` runs 3 rounds with one instance and with three, `make soak` DEIS_SOAK_ROUNDS (50).
"""

import os
from pathlib import Path

import pytest

from integration.person import Person
from integration.rest import Rest
from integration.sample_app import NAME, commit, edition, pushed
from integration.traffic import Traffic, traffic

pytestmark = [pytest.mark.server]

ROUNDS = 3
APP = f"/apps/{NAME}"


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
        await api.post(f"{APP}/scale", web=instances)
        async with traffic(platform.port, f"{NAME}.localhost") as seen:
            version = 2
            for number in range(1, count + 1):
                version = await one_round(person, api, seen, instances, number, version)
                assert not seen.failures, (number, seen.failures[:5], platform.log())
        print(f"{instances} instances, {count} rounds: {seen.answered} requests, none failed")
    assert not seen.failures, seen.failures[:5]
    assert {f"edition {number}".encode() for number in range(count + 1)} <= set(seen.bodies)


async def one_round(
    person: Person, api: Rest, seen: Traffic, instances: int, number: int, version: int
) -> int:
    """Every kind of change once; gives the newest release."""
    await commit(person, edition(number))
    await person.types("git", "push", "deis", "main", says=f"{NAME}:v{version + 1} deployed")
    await seen.some_more()
    await api.post(f"{APP}/config", values={"ROUND": str(number)})
    await seen.some_more()
    await api.post(f"{APP}/pods/web/restart")
    await seen.some_more()
    await api.post(f"{APP}/scale", web=instances + 2)
    await seen.some_more()
    await api.post(f"{APP}/scale", web=instances)
    await seen.some_more()
    rolled = await api.post(f"{APP}/releases/rollback", version=version)
    assert rolled["version"] == version + 3
    await seen.some_more()
    return version + 3
