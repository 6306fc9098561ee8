"""The operator's commands beside every service: a healthy platform, and an application's end."""

import json
from pathlib import Path

import pytest

from integration.person import Person
from integration.platform_cli_rig import typed
from integration.platform_up import platform_up
from integration.servers import until
from integration.test_platform_cli_automation import lets_in

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]


async def test_a_healthy_platform_and_an_automation_of_an_application(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with platform_up(data) as platform:
        person = Person(tmp_path / "home")
        account = ("--username=ada", "--password=correct horse", "--email=ada@example.com")
        await person.types("deis", "register", platform.api, *account)
        await person.types("deis", "create", "amber-otter", "--no-remote")

        async def healthy() -> bool:
            shown = await typed(data, "doctor", environ={"DEIS_MIN_FREE_DISK": "0"})
            return shown.code == 0

        await until(healthy, "the doctor finds nothing", 60.0)
        words = ("automation", "add", "bot", "--app", "amber-otter", "-o", "json")
        added = await typed(data, *words)
        assert added.code == 0, added.text
        values = json.loads(added.text)
        assert await lets_in(values)
        unknown = await typed(data, "automation", "add", "other", "--app", "nobody")
        assert unknown.text == "deis-platform: there is no application nobody\n"
        await person.types("deis", "destroy", "--app=amber-otter", "--confirm=amber-otter")

        async def ended() -> bool:
            return not await lets_in(values)

        await until(ended, "the automation ended with its application")
        rebuilt = await typed(data, "events", "rebuild")
        assert rebuilt.code == 0
        assert int(rebuilt.text.split()[0]) > 3
