"""Requests flow through the router while an application changes; none of them may fail.

`make test-kubernetes` runs 3 rounds with one instance and with three, `make soak-kubernetes`
DEIS_SOAK_ROUNDS (20).
"""

import json
import os
from pathlib import Path

import pytest

from integration.kubernetes.platform import ClusterPlatform
from integration.kubernetes.sample import destroyed, pushed
from integration.rest import Rest
from integration.rounds import Rounds, served
from integration.traffic import traffic

pytestmark = [pytest.mark.kubernetes, pytest.mark.server]

ROUNDS = 3
APPS = {1: "lark", 3: "wren"}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("instances", [1, 3])
async def test_no_request_fails_while_an_app_changes(
    platform: ClusterPlatform, tmp_path: Path, instances: int
) -> None:
    await rounds(platform, tmp_path, instances, ROUNDS)


@pytest.mark.soak
@pytest.mark.timeout(7000)
@pytest.mark.parametrize("instances", [1, 3])
async def test_no_request_fails_in_many_rounds(
    platform: ClusterPlatform, tmp_path: Path, instances: int
) -> None:
    await rounds(platform, tmp_path, instances, int(os.environ.get("DEIS_SOAK_ROUNDS", "20")))


async def rounds(platform: ClusterPlatform, folder: Path, instances: int, count: int) -> None:
    """Deploy, configure, restart, scale, evict and roll back, that many times, under traffic."""
    app = APPS[instances]
    person = await pushed(platform, folder / "home", f"owner-of-{app}", app)
    try:
        async with Rest(platform, person) as api:
            await api.post(f"/apps/{app}/scale", web=instances)
            async with traffic(80, platform.host(app), address=platform.address) as seen:
                changes = Rounds(person, api, seen, app, instances, more=1)
                version = 2
                for number in range(1, count + 1):
                    version = await changes.one(number, version)
                    if instances > 1:
                        await evicted(platform, api, app)
                        await seen.some_more()
                    assert not seen.failures, (number, seen.failures[:5], platform.log())
        print(f"{instances} instances, {count} rounds: {seen.answered} requests, none failed")
    finally:
        await destroyed(person, app)
    served(seen, count)


async def evicted(platform: ClusterPlatform, api: Rest, app: str) -> None:
    """One pod of it is evicted, as when its node is emptied."""
    shown = await api.get(f"/apps/{app}/pods")
    name = next(row["name"] for row in shown["results"] if row["state"] == "up")
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": app},
    }
    path = f"/api/v1/namespaces/{app}/pods/{name}/eviction"
    platform.node.kube("create", "--raw", path, "-f", "-", text=json.dumps(eviction))
