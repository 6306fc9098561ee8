"""A service's bus from its settings: the password from its file, no wait for the server."""

from pathlib import Path

import pytest

from deis_bus.errors import Transient
from deis_platform.buses import open_bus
from deis_platform.groups import BusSettings

NOBODY = "nats://127.0.0.1:1"


async def test_it_opens_without_a_server_and_calls_say_that_it_is_away(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("secret\n")
    settings = BusSettings(url=NOBODY, user="builder", password_file=str(password))
    async with open_bus(settings, "builder") as bus:
        assert not await bus.ready()
        with pytest.raises(Transient):
            await bus.request("deis.rpc.controller.app.read", b"", {}, 5.0)


async def test_a_missing_password_file_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="/nonexistent/password"):
        async with open_bus(BusSettings(url=NOBODY, password_file="/nonexistent/password"), "x"):
            pass
