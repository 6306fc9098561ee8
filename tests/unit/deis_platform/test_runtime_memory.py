"""The memory twin keeps what the runtime port promises."""

import pytest

from deis_bus.contracts.runtime import Artifact
from deis_bus.memory import MemoryBroker
from deis_platform.runtime.memory import MemoryRuntime
from tests.behaviour.runtime import Kind, RuntimeSuite


class MemoryRig:
    """Artifacts are named after what they do."""

    def __init__(self) -> None:
        broker = MemoryBroker()
        self.bus = broker.bus("gateway")
        self.runtime = MemoryRuntime(broker.bus("runtime"))
        self.runtime.script("never", artifact="never")
        self.runtime.script("crash", artifact="crashes")

    def artifact(self, kind: Kind) -> Artifact:
        """A slug of that name."""
        return Artifact(slug=kind)


class TestMemoryRuntime(RuntimeSuite):
    @pytest.fixture
    def rig(self) -> MemoryRig:
        return MemoryRig()
