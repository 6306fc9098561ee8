"""`git push` from end to end: real git, SSH, NATS, PostgreSQL and controller (cli.md 9)."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from deis_bus.jetstream import JetStreamBus
from deis_platform.groups import DatabaseSettings
from integration.builder_rig import BuilderRig, controlled
from integration.bus_rig import OnNats
from integration.controller_rig import OWNER
from integration.databases import fresh_database
from integration.servers import RunningNats, RunningPostgres

pytestmark = pytest.mark.server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def database(postgres: RunningPostgres) -> DatabaseSettings:
    return await fresh_database(postgres, OWNER)


class TestPush(OnNats):
    @pytest.fixture
    async def rig(
        self, nats: RunningNats, bus: JetStreamBus, database: DatabaseSettings, tmp_path: Path
    ) -> AsyncIterator[BuilderRig]:
        async with controlled(nats, database, bus, tmp_path) as rig, rig.builder(nats):
            yield rig

    async def test_a_push_becomes_a_release(self, rig: BuilderRig) -> None:
        ada = await rig.person("ada")
        blog = await ada.app("blog")
        pushed = await ada.push(blog)
        print(pushed.output)
        for line in (
            "Starting build... but first, coffee!",
            "-----> Python app detected",
            "       It is fine",
            "Build complete.",
            "Launching App...",
            "Done, blog:v2 deployed to Workflow",
            "[new branch]      main -> main",
        ):
            assert line in pushed.output
        assert (await ada.push(blog)).output.strip() == "Everything up-to-date"
