"""What the gateway streams, on the bus in memory."""

from tests.behaviour.gateway_events import EventsSuite
from tests.behaviour.gateway_runs import RunSuite
from tests.behaviour.gateway_streams import BuildOutputSuite, LogsSuite


class TestLogs(LogsSuite):
    pass


class TestBuildOutput(BuildOutputSuite):
    pass


class TestRun(RunSuite):
    pass


class TestEvents(EventsSuite):
    pass
