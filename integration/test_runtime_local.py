"""The local runtime keeps what the runtime port promises, with real processes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deis_bus.contracts.runtime import Artifact
from deis_bus.jetstream import JetStreamBus, connect
from deis_platform.runtime.local import LocalRuntime
from integration.bus_rig import OnNats
from integration.runtime_rig import (
    APPS,
    KINDS,
    Artifacts,
    answering,
    following,
    service,
    settings,
    slug,
)
from integration.servers import RunningNats
from tests.behaviour.runtime import Kind, RuntimeSuite

pytestmark = pytest.mark.server


class LocalRig:
    """The service behind a bus."""

    def __init__(self, bus: JetStreamBus, artifacts: Artifacts) -> None:
        self.bus = bus
        self.runtime = LocalRuntime(bus)
        self._artifacts = {
            kind: artifacts.add(kind, slug(APPS / app)) for kind, app in KINDS.items()
        }

    def artifact(self, kind: Kind) -> Artifact:
        """A slug that lies ready."""
        return self._artifacts[kind]


class TestLocalRuntime(OnNats, RuntimeSuite):
    @pytest.fixture
    async def rig(
        self, bus: JetStreamBus, nats: RunningNats, tmp_path: Path
    ) -> AsyncIterator[LocalRig]:
        artifacts = Artifacts()
        async with (
            artifacts.serving(),
            connect(nats.url, "router") as routers,
            following(routers),
            service(settings(nats.url, tmp_path)),
        ):
            rig = LocalRig(bus, artifacts)
            await answering(rig.runtime)
            yield rig
