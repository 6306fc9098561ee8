"""A real NATS server does what every bus does."""

import pytest

from integration.bus_rig import OnNats
from tests.behaviour.bus import CoreSuite, KeysSuite, StoredSuite

pytestmark = pytest.mark.server


class TestStored(OnNats, StoredSuite):
    pass


class TestKeys(OnNats, KeysSuite):
    pass


class TestCore(OnNats, CoreSuite):
    pass
