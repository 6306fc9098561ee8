"""A gateway on a real NATS server, whose streams are new for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deis_bus.jetstream import JetStreamBus, connect
from integration.bus_rig import OnNats
from integration.servers import RunningNats
from tests.behaviour.gateway_rig import Controller, Running, gateway


class OnGateway(OnNats):
    """Gives the fixtures that the gateway's suites ask for."""

    @pytest.fixture
    async def controller(self, other: JetStreamBus) -> AsyncIterator[Controller]:
        controller = Controller(other)
        async with controller.serving():
            yield controller

    @pytest.fixture
    async def running(
        self, nats: RunningNats, controller: Controller, tmp_path: Path
    ) -> AsyncIterator[Running]:
        async with connect(nats.url, "gateway") as bus, gateway(bus, tmp_path) as running:
            yield running
