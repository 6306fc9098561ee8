"""The memory twin does what every bus does."""

import pytest

from deis_bus.memory import MemoryBroker, MemoryBus
from tests.behaviour.bus import StoredSuite
from tests.behaviour.bus_bytes import ByteStreamSuite
from tests.behaviour.bus_core import CoreSuite, RequestsSuite
from tests.behaviour.bus_keys import KeysSuite
from tests.behaviour.consumer import ConsumerSuite


class OnMemory:
    """Two services on one broker."""

    @pytest.fixture
    def broker(self) -> MemoryBroker:
        return MemoryBroker()

    @pytest.fixture
    def bus(self, broker: MemoryBroker) -> MemoryBus:
        return broker.bus("controller")

    @pytest.fixture
    def other(self, broker: MemoryBroker) -> MemoryBus:
        return broker.bus("builder")


class TestStored(OnMemory, StoredSuite):
    pass


class TestKeys(OnMemory, KeysSuite):
    pass


class TestCore(OnMemory, CoreSuite):
    pass


class TestRequests(OnMemory, RequestsSuite):
    pass


class TestByteStreams(OnMemory, ByteStreamSuite):
    pass


class TestConsumer(OnMemory, ConsumerSuite):
    pass
