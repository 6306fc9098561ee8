"""The main job, whole, on a real platform: all services in one process, and each as its own."""

from pathlib import Path

import pytest

from integration.person import Person
from integration.platform_up import platform_up
from integration.scenario import Scenario

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]


@pytest.mark.parametrize("options", [(), ("--processes",)], ids=["one-process", "own-processes"])
async def test_the_main_job_from_register_to_destroy(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    async with platform_up(tmp_path / "data", *options) as platform:
        scenario = Scenario(platform, Person(tmp_path / "home"))
        try:
            await scenario.run()
        except BaseException:
            print(platform.log())
            raise
    assert set(scenario.stages) == {"first push", "second push"}
