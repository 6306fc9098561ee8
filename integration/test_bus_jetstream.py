"""A real NATS server does what every bus does."""

import pytest

from integration.bus_rig import OnNats
from tests.behaviour.bus import StoredSuite
from tests.behaviour.bus_bytes import ByteStreamSuite
from tests.behaviour.bus_core import CoreSuite, RequestsSuite
from tests.behaviour.bus_keys import KeysSuite
from tests.behaviour.consumer import ConsumerSuite

pytestmark = pytest.mark.server


class TestStored(OnNats, StoredSuite):
    pass


class TestKeys(OnNats, KeysSuite):
    pass


class TestCore(OnNats, CoreSuite):
    pass


class TestRequests(OnNats, RequestsSuite):
    pass


class TestByteStreams(OnNats, ByteStreamSuite):
    pass


class TestConsumer(OnNats, ConsumerSuite):
    pass
