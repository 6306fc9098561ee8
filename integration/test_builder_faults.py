"""Pushes through the death of the bus: nothing is lost, and the client learns the outcome."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deis_bus.contracts.runtime import BuildRun
from deis_bus.jetstream import JetStreamBus
from deis_bus.ports import ByteStream
from integration.builder_fixtures import WithController
from integration.builder_rig import BuilderRig
from integration.servers import RunningNats, nats_server, until

pytestmark = pytest.mark.server


class TestBusDies(WithController):
    LEASE_SECONDS = 3.0

    @pytest.fixture
    async def nats(self, tmp_path: Path) -> AsyncIterator[RunningNats]:
        async with nats_server(tmp_path) as running:
            yield running

    async def test_in_the_middle_of_a_build(
        self, nats: RunningNats, bus: JetStreamBus, platform: BuilderRig
    ) -> None:
        begun, opened = asyncio.Event(), asyncio.Event()

        async def gated(run: BuildRun, stream: ByteStream) -> int:
            await stream.send(b"-----> Working\n")
            begun.set()
            await opened.wait()
            return await platform.builds.succeed(run, stream)

        platform.builds.programs["blog"] = gated
        async with platform.builder(nats) as parts:
            ada = await platform.person("ada")
            push = asyncio.create_task(ada.push(await ada.app("blog")))
            await begun.wait()
            os.kill(nats.server.pid, signal.SIGKILL)
            await until(lambda: bus.counts.reconnects > 0, "the bus")
            await until(parts.receiver.bus.ready, "the builder's bus")
            opened.set()
            assert "Done, blog:v2 deployed" in (await push).output
        assert [row["state"] for row in await platform.push_rows()] == ["released"]

    async def test_while_the_release_starts(self, nats: RunningNats, platform: BuilderRig) -> None:
        platform.runtime.script("hold", app="blog")
        async with platform.builder(nats):
            ada = await platform.person("ada")
            blog = await ada.app("blog")
            push = await ada.starts("git", "push", ada.url("blog"), "main", folder=blog)
            if push.stdout is None:
                raise TypeError("no pipe")
            await push.stdout.readuntil(b"Launching App...")
            await until(lambda: bool(platform.runtime.applied), "the release")
            os.kill(nats.server.pid, signal.SIGKILL)
            platform.runtime.make_ready("blog")
            rest, _ = await push.communicate()
            assert b"Done, blog:v2 deployed" in rest
            await ada.commit(blog, {"more": "x"})
            platform.runtime.script("ready", app="blog")
            assert "Done, blog:v3 deployed" in (await ada.push(blog)).output
