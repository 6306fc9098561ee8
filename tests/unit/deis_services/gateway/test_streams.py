"""What the gateway streams, on the bus in memory."""

from tests.behaviour.gateway_streams import BuildOutputSuite, EventsSuite, LogsSuite, RunSuite


class TestLogs(LogsSuite):
    pass


class TestBuildOutput(BuildOutputSuite):
    pass


class TestRun(RunSuite):
    pass


class TestEvents(EventsSuite):
    pass
