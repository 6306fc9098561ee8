"""The main job, whole, on a real platform: all services in one process, and each as its own."""

from pathlib import Path

import pytest

from integration import first_hour
from integration.person import Person
from integration.platform_up import platform_up
from integration.scenario import Scenario

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]


@pytest.mark.parametrize("options", [(), ("--processes",)], ids=["one-process", "own-processes"])
async def test_the_main_job_from_register_to_destroy(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    async with platform_up(tmp_path / "data", *options) as platform:
        heard = first_hour.Heard()
        scenario = Scenario(platform, Person(tmp_path / "home", heard.line), heard.said)
        try:
            await scenario.run()
        except BaseException:
            print(platform.log())
            raise
        shown = first_hour.block(heard, platform, tmp_path / "home")
    assert first_hour.normalised(shown) == first_hour.normalised(first_hour.in_readme()), (
        "the README shows something else: python -m integration.first_hour"
    )
    assert set(scenario.stages) == {"first push", "second push"}


def test_how_long_something_took_is_no_difference() -> None:
    lines = [f"Resolved 1 package in {took}" for took in ("170ms", "0.93ms", "1.02s", "1m 02s")]
    assert len(first_hour.normalised("\n".join([*lines, "done in 2s", "done in 0s"]))) == 2
