"""Leases of pushes on real servers: who renews them, and what follows when nobody does."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from deis_bus.clock import new_id
from deis_bus.contracts.push import (
    PUSH_OPEN,
    PUSH_RENEW,
    BuildTask,
    PushOpen,
    PushOpened,
    PushRenew,
)
from deis_bus.contracts.runtime import BuildRun
from deis_bus.errors import Refused
from deis_bus.events.builds import BuildFailed
from deis_bus.jetstream import JetStreamBus
from deis_bus.ports import ByteStream
from integration.pusher_rig import HOLDER, LEASE_SECONDS, Pusher, WithPushers, handled, platform
from integration.servers import RunningPostgres, until

pytestmark = pytest.mark.server


class TestLeases(WithPushers):
    async def test_a_lease_is_renewed_by_its_holder_only(self, amber: Pusher) -> None:
        opened = await amber.open()
        before = (await amber.api.rows("SELECT lease_until FROM pushes"))[0]["lease_until"]
        await amber.api.ask(PUSH_RENEW, PushRenew(opened.push, HOLDER))
        after = (await amber.api.rows("SELECT lease_until FROM pushes"))[0]["lease_until"]
        assert after > before
        for holder, attempt in (("session-2", 0), (HOLDER, 1)):
            with pytest.raises(Refused) as caught:
                await amber.api.ask(PUSH_RENEW, PushRenew(opened.push, holder, attempt))
            assert caught.value.kind == "lost"

    async def test_a_session_that_is_lost_closes_its_push(self, hasty: Pusher) -> None:
        opened = await hasty.open()
        await hasty.runs_out(opened.push)
        state = await hasty.reaches(opened.push, "closed")
        assert state.reason == "the connection was lost"
        with pytest.raises(Refused) as caught:
            await hasty.received(opened)
        assert caught.value.kind == "lost"
        assert (await hasty.open()).number == 2

    async def test_three_workers_are_lost(self, hasty: Pusher) -> None:
        opened = await hasty.open()
        await hasty.received(opened)
        stopped: list[str] = []

        async def never(task: BuildRun, stream: ByteStream) -> int:
            try:
                await asyncio.Event().wait()
            finally:
                stopped.append(task.id)
            return 0

        hasty.runtime.build_program = never
        task = BuildTask()
        for attempt in (1, 2, 3):
            await hasty.reaches(opened.push, "queued")
            task = await hasty.take(f"worker-{attempt}")
            assert task.attempt == attempt
            await hasty.runtime.build(build_run(task))
            await hasty.runs_out(opened.push)

            async def gone(wanted: int = attempt) -> bool:
                return len(stopped) == wanted

            await until(gone, "the attempt is stopped")
        state = await hasty.reaches(opened.push, "failed")
        assert state.reason == "worker lost"
        assert stopped == [f"{opened.push}-{attempt}" for attempt in (1, 2, 3)]
        assert "build.failed" in await hasty.kinds()
        late = msgspec.structs.replace(task, attempt=1)
        await hasty.done(late)
        await until(lambda: _told(hasty, "build.superseded"), "the late result is told")
        assert (await hasty.state(opened.push)).state == "failed"
        assert await hasty.made.releases() == [(1, "succeeded")]

    async def test_an_attempt_that_cannot_be_stopped_is_followed_by_none(
        self, hasty: Pusher
    ) -> None:
        opened = await hasty.open()
        await hasty.received(opened)
        await hasty.take()
        hasty.runtime.away = True
        await hasty.runs_out(opened.push)
        second = await hasty.api.send("apps.create", "ada", {"id": "birch"})
        assert second.status == 201
        held: PushOpened = await hasty.api.ask(
            PUSH_OPEN, PushOpen(hasty.fingerprint, "birch", HOLDER)
        )
        await hasty.runs_out(held.push)
        await hasty.reaches(held.push, "closed")  # so leases are judged
        assert (await hasty.state(opened.push)).state == "building"
        hasty.runtime.away = False
        await hasty.reaches(opened.push, "queued")

    async def test_the_end_of_a_stopped_attempt_ends_no_push(self, hasty: Pusher) -> None:
        opened = await hasty.open()
        await hasty.received(opened)
        task = await hasty.take()
        await hasty.runs_out(opened.push)
        await hasty.reaches(opened.push, "queued")
        failed = BuildFailed(build=opened.push, attempt=1, reason="killed")
        await hasty.report(failed, task.appuuid)
        await handled(hasty)
        assert (await hasty.state(opened.push)).state == "queued"

    async def test_nobody_builds(
        self,
        bus: JetStreamBus,
        other: JetStreamBus,
        postgres: RunningPostgres,
        tmp_path: Path,
    ) -> None:
        async with platform(
            bus, other, postgres, tmp_path, lease_seconds=LEASE_SECONDS, queue_seconds=0.2
        ) as pusher:
            opened = await pusher.open()
            await pusher.received(opened)
            state = await pusher.reaches(opened.push, "failed")
            assert state.reason == "no worker"
            assert (await pusher.kinds())[-1] == "build.failed"


def build_run(task: BuildTask) -> BuildRun:
    """The runtime's task of an attempt."""
    return BuildRun(
        id=f"{task.push}-{task.attempt}",
        kind="buildpack",
        app=task.app,
        appuuid=task.appuuid,
        sha=task.sha,
        source_url="",
        source_token="",
        slug_url="",
        slug_token="",
        environment={},
        stream=new_id(),
    )


async def _told(pusher: Pusher, kind: str) -> bool:
    return kind in await pusher.kinds()
