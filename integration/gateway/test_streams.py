"""What the gateway streams, on a real NATS server."""

import pytest

from integration.gateway.rig import OnGateway
from tests.behaviour.gateway_events import EventsSuite
from tests.behaviour.gateway_runs import RunSuite
from tests.behaviour.gateway_streams import BuildOutputSuite, LogsSuite

pytestmark = pytest.mark.server


class TestLogs(OnGateway, LogsSuite):
    pass


class TestBuildOutput(OnGateway, BuildOutputSuite):
    pass


class TestRun(OnGateway, RunSuite):
    pass


class TestEvents(OnGateway, EventsSuite):
    pass
