"""A controller's API on a real database, with a bus and a runtime in memory."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from deis_bus.contracts.components import COMPONENTS_LIST, ComponentList, ComponentState
from deis_bus.memory import MemoryBroker
from deis_bus.rpc import Context, Empty, endpoints
from deis_bus.streams import BUCKETS, STREAMS
from deis_platform.groups import DatabaseSettings
from deis_platform.presence import service_info
from deis_platform.runtime.memory import MemoryRuntime
from integration.controller_api.rig import Api, empty
from integration.controller_rig import OWNER, dependencies, settings_of
from integration.databases import fresh_database
from integration.servers import RunningPostgres


async def _components(_question: Empty, _context: Context) -> ComponentList:
    return ComponentList((ComponentState(name="router", version="0.1.0", wanted=1, ready=1),))


def _unexpected(subject: str, fault: Exception) -> None:
    raise AssertionError(f"{subject} broke: {fault!r}") from fault


MANAGER = endpoints({COMPONENTS_LIST: _components}, _unexpected)
"""What the workflow manager answers."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_database(postgres: RunningPostgres) -> DatabaseSettings:
    """One database for all tests of the API; each empties it first."""
    return await fresh_database(postgres, OWNER)


@pytest.fixture
async def api(shared_database: DatabaseSettings, tmp_path: Path) -> AsyncIterator[Api]:
    broker = MemoryBroker()
    bus, manager = broker.bus("controller"), broker.bus("manager")
    await bus.ensure(STREAMS, BUCKETS)
    settings = settings_of(shared_database, tmp_path)
    async with (
        dependencies(settings, bus, MemoryRuntime(bus)) as deps,
        manager.serve(service_info("manager", "of these tests"), MANAGER),
    ):
        async with deps.db.transaction() as tx:
            await empty(tx)
        yield Api(deps)


@pytest.fixture
async def amber(api: Api) -> Api:
    """Ada's application `amber`, shared with bob; eve has nothing to do with it; root is admin."""
    for name in ("root", "ada", "bob", "eve"):
        await api.user(name, admin=name == "root")
    assert (await api.send("apps.create", "ada", {"id": "amber"})).status == 201
    assert (await api.send("perms.add", "ada", {"username": "bob"}, app="amber")).status == 201
    return api
