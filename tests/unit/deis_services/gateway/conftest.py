"""A gateway on a bus in memory."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deis_bus.memory import MemoryBroker, MemoryBus
from tests.behaviour.gateway_rig import Controller, Running, gateway


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
def bus(broker: MemoryBroker) -> MemoryBus:
    return broker.bus("gateway")


@pytest.fixture
def other(broker: MemoryBroker) -> MemoryBus:
    return broker.bus("controller")


@pytest.fixture
async def controller(other: MemoryBus) -> AsyncIterator[Controller]:
    controller = Controller(other)
    async with controller.serving():
        yield controller


@pytest.fixture
async def running(bus: MemoryBus, controller: Controller, tmp_path: Path) -> AsyncIterator[Running]:
    async with gateway(bus, tmp_path) as running:
        yield running
