"""The runtime on Kubernetes keeps what the runtime port promises, with real pods."""

from collections.abc import AsyncIterator

import pytest

from deis_bus.contracts.runtime import Artifact
from deis_bus.jetstream import JetStreamBus
from integration.bus_rig import OnNats
from integration.cluster.node import Node
from integration.kubernetes.runtime_rig import Cluster, facts_of, running
from integration.runtime_rig import APPS, KINDS, Artifacts, slug
from tests.behaviour import runtime as behaviour
from tests.behaviour.runtime import Kind, RuntimeSuite

pytestmark = [pytest.mark.kubernetes, pytest.mark.server, pytest.mark.timeout(300)]


class KubernetesRig:
    """The runtime on the node, and slugs its pods can fetch."""

    def __init__(self, bus: JetStreamBus, cluster: Cluster, artifacts: Artifacts) -> None:
        self.bus = bus
        self.runtime = cluster.runtime
        self._artifacts = {
            kind: artifacts.add(kind, slug(APPS / app)) for kind, app in KINDS.items()
        }

    def artifact(self, kind: Kind) -> Artifact:
        """A slug that lies ready."""
        return self._artifacts[kind]


class TestKubernetesRuntime(OnNats, RuntimeSuite):
    @pytest.fixture
    async def rig(
        self, bus: JetStreamBus, node: Node, stack_image: str, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[KubernetesRig]:
        monkeypatch.setattr(behaviour, "PATIENCE", 120.0)  # pods come and go more slowly
        artifacts = Artifacts()
        async with (
            artifacts.serving(node.host_address),
            running(node, bus, facts_of(stack_image)) as cluster,
        ):
            yield KubernetesRig(bus, cluster, artifacts)
            await cluster.runtime.remove(behaviour.APP)
