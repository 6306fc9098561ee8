"""Ada's application `amber` on a real database and bus, the runtime in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from deis_bus.jetstream import JetStreamBus
from deis_platform.runtime.memory import MemoryRuntime
from integration.bus_rig import OnNats
from integration.controller_api.rig import Reply
from integration.controller_rig import IMAGE, OWNER, Controller, controller, settings_of
from integration.databases import fresh_database
from integration.servers import RunningPostgres


@asynccontextmanager
async def amber_as(
    bus: JetStreamBus, postgres: RunningPostgres, folder: Path, **changes: Any
) -> AsyncIterator[Controller]:
    """Ada's application `amber`, deployed as v2."""
    settings = settings_of(await fresh_database(postgres, OWNER), folder, **changes)
    async with controller(settings, bus, MemoryRuntime(bus)) as made:
        for name in ("ada", "eve"):
            await made.api.user(name)
        await made.api.send("apps.create", "ada", {"id": "amber"})
        done = await made.ended(await send(made, "builds.create", IMAGE))
        assert done.state == "succeeded", done
        yield made


async def send(made: Controller, name: str, body: object = None, **path: str) -> Reply:
    """A request of the owner about the application."""
    return await made.api.send(name, "ada", body, app="amber", at=path)


async def set_config(made: Controller, **values: str | None) -> Reply:
    """`config:set`."""
    return await send(made, "config.set", {"values": values})


async def values_of(made: Controller) -> dict[str, str]:
    """The present configuration."""
    found: dict[str, str] = (await send(made, "config.read")).body["values"]
    return found


async def kinds(made: Controller) -> list[str]:
    """Types of the events so far."""
    return [event[0] for event in await made.api.events()]


class WithAmber(OnNats):
    """Fixtures of the application."""

    @pytest.fixture
    async def amber(
        self, bus: JetStreamBus, postgres: RunningPostgres, tmp_path: Path
    ) -> AsyncIterator[Controller]:
        """The application with the default limits."""
        async with amber_as(bus, postgres, tmp_path) as made:
            yield made

    @pytest.fixture
    async def hasty(
        self, bus: JetStreamBus, postgres: RunningPostgres, tmp_path: Path
    ) -> AsyncIterator[Controller]:
        """The same where nobody waits long for a turn."""
        async with amber_as(bus, postgres, tmp_path, turn_seconds=0.5) as made:
            yield made
