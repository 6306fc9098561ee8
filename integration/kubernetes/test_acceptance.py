"""The main job on the cluster, through the LoadBalancer, with the client a person has."""

from pathlib import Path

import pytest

from integration.kubernetes.platform import ClusterPlatform
from integration.scenario import Scenario

pytestmark = [pytest.mark.kubernetes, pytest.mark.server, pytest.mark.timeout(600)]


async def test_the_main_job_from_register_to_destroy(
    platform: ClusterPlatform, tmp_path: Path
) -> None:
    said: list[str] = []
    scenario = Scenario(platform, platform.person(tmp_path / "home", echo=said.append), said.append)
    try:
        await scenario.run()
    except BaseException:
        print("\n".join(said), platform.log(), sep="\n")
        raise
    finally:
        await platform.admin("automation", "remove", "herald")
    assert set(scenario.stages) == {"first push", "second push"}
