"""Fixtures of the builder's tests: a platform without gateway, router and processes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deis_bus.jetstream import JetStreamBus
from integration.builder_rig import BuilderRig, controlled
from integration.bus_rig import OnNats
from integration.controller_rig import OWNER
from integration.databases import fresh_database
from integration.servers import RunningNats, RunningPostgres


class WithController(OnNats):
    """A controller with short leases, and no builder yet."""

    LEASE_SECONDS = 30.0

    @pytest.fixture
    async def platform(
        self,
        nats: RunningNats,
        bus: JetStreamBus,
        postgres: RunningPostgres,
        tmp_path: Path,
        request: pytest.FixtureRequest,
    ) -> AsyncIterator[BuilderRig]:
        """`parametrize("platform", [{"pack_bytes": 1}], indirect=True)` changes its settings."""
        database = await fresh_database(postgres, OWNER)
        changes = {"lease_seconds": self.LEASE_SECONDS} | getattr(request, "param", {})
        async with controlled(nats, database, bus, tmp_path, **changes) as rig:
            yield rig


class WithBuilder(WithController):
    """A builder beside it."""

    @pytest.fixture
    async def rig(self, nats: RunningNats, platform: BuilderRig) -> AsyncIterator[BuilderRig]:
        async with platform.builder(nats):
            yield platform
