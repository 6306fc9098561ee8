"""Push rows on real servers: the lock, leases, attempts, results, and what is kept of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from deis_bus import subjects
from deis_bus.clock import new_id, timestamp
from deis_bus.codec import encode
from deis_bus.contracts.buildlog import APPUUID
from deis_bus.contracts.push import (
    BUILD_TAKE,
    PUSH_CLOSE,
    PUSH_OPEN,
    PUSH_READ,
    PUSH_RECEIVED,
    PUSH_RENEW,
    BuildTake,
    BuildTask,
    PushClose,
    PushOpen,
    PushOpened,
    PushRead,
    PushReceived,
    PushRenew,
    PushState,
)
from deis_bus.contracts.runtime import BuildRun
from deis_bus.envelope import Envelope
from deis_bus.errors import Refused, Transient
from deis_bus.events import Event
from deis_bus.events.builds import BuildDone, BuildFailed
from deis_bus.jetstream import JetStreamBus
from deis_bus.ports import ByteStream
from deis_platform.runtime.memory import MemoryRuntime
from deis_services.controller import store
from integration.bus_rig import OnNats
from integration.controller_rig import OWNER, Controller, controller, settings_of
from integration.databases import fresh_database
from integration.servers import RunningPostgres, until

pytestmark = pytest.mark.server

SHA = "0123456789abcdef0123456789abcdef01234567"
HOLDER = "session-1"
LEASE_SECONDS = 5.0


class Pusher:
    """What the builder does to a controller, one step at a time."""

    def __init__(self, made: Controller, builder: JetStreamBus, fingerprint: str) -> None:
        self.made = made
        self.api = made.api
        self.runtime = made.runtime
        self._bus = builder
        self.fingerprint = fingerprint

    async def open(self, holder: str = HOLDER) -> PushOpened:
        """The key's owner begins to push."""
        opened: PushOpened = await self.api.ask(
            PUSH_OPEN, PushOpen(self.fingerprint, "amber", holder)
        )
        return opened

    async def received(self, opened: PushOpened, sha: str = SHA) -> PushState:
        """The tree is in the object store."""
        question = PushReceived(
            push=opened.push,
            holder=HOLDER,
            sha=sha,
            ref="refs/heads/main",
            source=f"sources/{opened.appuuid}/{opened.push}.tar.gz",
            receive_seconds=0.5,
        )
        state: PushState = await self.api.ask(PUSH_RECEIVED, question)
        return state

    async def take(self, worker: str = "worker-1") -> BuildTask:
        """A worker asks for work."""
        task: BuildTask = await self.api.ask(BUILD_TAKE, BuildTake(worker))
        return task

    async def state(self, push: str) -> PushState:
        """Where it is now."""
        found: PushState = await self.api.ask(PUSH_READ, PushRead(push))
        return found

    async def reaches(self, push: str, state: str) -> PushState:
        """Until it is in that state."""

        async def there() -> bool:
            return (await self.state(push)).state == state

        await until(there, f"a push that is {state}")
        return await self.state(push)

    async def report(self, event: Event, appuuid: str, identity: str = "") -> str:
        """What a worker reports; gives the id."""
        envelope = Envelope(
            id=identity or new_id(),
            type=event.TYPE,
            source="builder",
            time=timestamp(),
            subject="amber",
            appuuid=appuuid,
        )
        await self._bus.publish(subjects.report("amber", event.TYPE), envelope, encode(event))
        return envelope.id

    async def done(self, task: BuildTask) -> None:
        """The build succeeded."""
        await self.report(done(task), task.appuuid)

    async def whole(self, sha: str = SHA) -> PushState:
        """From the first byte to the release."""
        opened = await self.open()
        await self.received(opened, sha)
        await self.done(await self.take())
        return await self.reaches(opened.push, "released")

    async def runs_out(self, push: str) -> None:
        """Whoever holds it is lost: it was not renewed in time."""
        async with self.made.deps.db.transaction() as tx:
            await tx.execute("UPDATE pushes SET lease_until = now() WHERE uuid = $1::uuid", push)

    async def kinds(self) -> list[str]:
        """Types of the events so far."""
        return [event[0] for event in await self.api.events()]


def done(task: BuildTask) -> BuildDone:
    """What a good worker reports."""
    return BuildDone(
        build=task.push,
        attempt=task.attempt,
        sha=task.sha,
        artifact=f"slugs/{task.appuuid}/{task.push}-{task.attempt}.tgz",
        procfile={"web": "run"},
        stages={"compile": 0.25},
    )


@asynccontextmanager
async def platform(
    bus: JetStreamBus,
    other: JetStreamBus,
    postgres: RunningPostgres,
    folder: Path,
    **changes: float,
) -> AsyncIterator[Pusher]:
    """Ada's application `amber`, and her key."""
    settings = settings_of(await fresh_database(postgres, OWNER), folder, **changes)
    async with controller(settings, bus, MemoryRuntime(bus)) as made:
        fingerprint = await made.api.key(await made.api.user("ada"), "laptop")
        await made.api.send("apps.create", "ada", {"id": "amber"})
        yield Pusher(made, other, fingerprint)


@pytest.fixture
async def amber(
    bus: JetStreamBus, other: JetStreamBus, postgres: RunningPostgres, tmp_path: Path
) -> AsyncIterator[Pusher]:
    """With the default limits."""
    async with platform(bus, other, postgres, tmp_path) as made:
        yield made


@pytest.fixture
async def hasty(
    bus: JetStreamBus, other: JetStreamBus, postgres: RunningPostgres, tmp_path: Path
) -> AsyncIterator[Pusher]:
    """Where leases are judged soon, but not so soon that a slow machine loses one, and turns are
    short."""
    async with platform(
        bus, other, postgres, tmp_path, lease_seconds=LEASE_SECONDS, turn_seconds=0.3
    ) as made:
        yield made


class TestPushes(OnNats):
    async def test_from_push_to_release(self, amber: Pusher) -> None:
        opened = await amber.open()
        assert (opened.number, opened.app, opened.username) == (1, "amber", "ada")
        assert (await amber.received(opened)).state == "queued"
        task = await amber.take()
        assert (task.push, task.attempt, task.sha, task.cache) == (opened.push, 1, SHA, True)
        assert await amber.take("worker-2") == BuildTask()
        await amber.done(task)
        state = await amber.reaches(opened.push, "released")
        assert state.version == 2
        assert {"receive", "queue", "build compile", "build", "turn", "deploy"} <= set(state.stages)
        assert amber.runtime.applied[-1].artifact.slug.endswith(f"{opened.push}-1.tgz")
        assert (await amber.kinds())[-8:] == [
            "push.received", "build.started", "build.done", "build.created", "operation.queued",
            "release.created", "operation.done", "deploy.done",
        ]  # fmt: skip
        release = (await amber.api.send("releases.read", "ada", app="amber", version="v2")).body
        assert (release["summary"], release["build"]) == (f"ada deployed {SHA[:7]}", opened.push)
        stages = (await amber.api.send("releases.stages", "ada", app="amber", version="v2")).body
        assert stages["stages"] == state.stages

    async def test_who_may_push(self, amber: Pusher) -> None:
        eve = await amber.api.key(await amber.api.user("eve"), "eve")
        for fingerprint, app, code in (
            ("00:00", "amber", 401),
            (eve, "amber", 403),
            (amber.fingerprint, "nowhere", 404),
        ):
            with pytest.raises(Refused) as caught:
                await amber.api.ask(PUSH_OPEN, PushOpen(fingerprint, app, HOLDER))
            assert caught.value.code == code
        assert await amber.api.rows("SELECT 1 FROM pushes") == []
        await amber.api.send("perms.add", "ada", {"username": "eve"}, app="amber")
        shared: PushOpened = await amber.api.ask(PUSH_OPEN, PushOpen(eve, "amber", HOLDER))
        assert shared.username == "eve"

    async def test_an_open_push_is_the_lock(self, amber: Pusher) -> None:
        first = await amber.open()
        with pytest.raises(Refused) as caught:
            await amber.open("session-2")
        assert (caught.value.code, caught.value.kind) == (409, "busy")
        await amber.api.ask(PUSH_CLOSE, PushClose(first.push, "session-2", "not mine"))
        assert (await amber.state(first.push)).state == "receiving"
        await amber.api.ask(PUSH_CLOSE, PushClose(first.push, HOLDER, "interrupted"))
        closed = await amber.state(first.push)
        assert (closed.state, closed.reason) == ("closed", "interrupted")
        assert (await amber.open()).number == 2

    async def test_two_at_once_get_one_lock(self, amber: Pusher) -> None:
        tries = await asyncio.gather(
            *(amber.open(f"session-{n}") for n in range(5)), return_exceptions=True
        )
        assert len([one for one in tries if isinstance(one, PushOpened)]) == 1
        assert {one.kind for one in tries if isinstance(one, Refused)} == {"busy"}

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
        await _handled(hasty)
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

    async def test_a_failed_build_says_why(self, amber: Pusher) -> None:
        opened = await amber.open()
        await amber.received(opened)
        task = await amber.take()
        reason = "no buildpack fits"
        await amber.report(BuildFailed(build=task.push, attempt=1, reason=reason), task.appuuid)
        assert (await amber.reaches(opened.push, "failed")).reason == reason
        assert await amber.made.releases() == [(1, "succeeded")]
        assert (await amber.open()).number == 2

    async def test_a_result_that_comes_twice_is_released_once(self, amber: Pusher) -> None:
        opened = await amber.open()
        await amber.received(opened)
        task = await amber.take()
        for _ in range(3):
            await amber.done(task)
        await amber.reaches(opened.push, "released")
        await _handled(amber)
        assert await amber.made.releases() == [(1, "succeeded"), (2, "succeeded")]
        assert (await amber.kinds()).count("build.done") == 1

    async def test_the_commit_that_runs_is_not_built_again(self, amber: Pusher) -> None:
        assert (await amber.whole()).version == 2
        opened = await amber.open()
        state = await amber.received(opened)
        assert (state.state, state.version) == ("released", 2)
        assert await amber.take() == BuildTask()
        assert (await amber.kinds())[-2:] == ["push.received", "push.closed"]
        assert (await amber.whole("f" * 40)).version == 3
        again = await amber.whole()
        assert again.version == 4, "it is not current any more"

    async def test_a_push_waits_for_its_turn_without_limit(self, hasty: Pusher) -> None:
        await hasty.whole()
        hasty.runtime.script("hold", release=3)
        await hasty.api.send("config.set", "ada", {"values": {"A": "1"}}, app="amber")
        await hasty.made.deploys(3)
        opened = await hasty.open()
        await hasty.received(opened, "f" * 40)
        await hasty.done(await hasty.take())
        await hasty.reaches(opened.push, "releasing")
        late = await hasty.api.send("config.set", "ada", {"values": {"B": "1"}}, app="amber")
        assert (await hasty.made.ended(late)).state == "failed", "who waits for a turn has given up"
        assert (await hasty.state(opened.push)).state == "releasing"
        hasty.runtime.make_ready("amber")
        assert (await hasty.reaches(opened.push, "released")).version == 4
        assert hasty.runtime.applied[-1].environment["A"] == "1"

    async def test_a_deploy_that_fails_fails_its_push(self, amber: Pusher) -> None:
        amber.runtime.script("crash", release=2, reason="exited with 3")
        opened = await amber.open()
        await amber.received(opened)
        await amber.done(await amber.take())
        state = await amber.reaches(opened.push, "failed")
        assert "exited with 3" in state.reason

    async def test_only_the_newest_slugs_are_kept(self, amber: Pusher) -> None:
        objects = amber.made.deps.objects
        app = (await amber.api.send("apps.read", "ada", app="amber")).body["uuid"]

        async def stored(prefix: str) -> int:
            return len(await objects.list(f"{prefix}/{app}/"))

        for number in range(22):
            opened = await amber.open()
            await objects.put(f"sources/{app}/{opened.push}.tar.gz", _bytes())
            await objects.put(f"slugs/{app}/{opened.push}-1.tgz", _bytes())
            await amber.received(opened, f"{number:040d}")
            await amber.done(await amber.take())
            await amber.reaches(opened.push, "released")

        async def trimmed() -> bool:
            return await stored("slugs") == 20 and await stored("sources") == 0

        await until(trimmed, "old slugs and all sources are gone")
        async with amber.made.deps.db.reading() as tx:
            assert len(await store.kept_slugs(tx, app, 3)) == 3
        back = await amber.api.send("releases.rollback", "ada", {"version": 3}, app="amber")
        end = await amber.made.ended(back)
        assert end.answer is not None
        assert end.answer.status == 400
        assert b"The slug of v3 is no longer kept" in bytes(end.answer.body)
        kept = await amber.api.send("releases.rollback", "ada", {"version": 4}, app="amber")
        assert (await amber.made.ended(kept)).state == "succeeded"

    async def test_nothing_is_kept_of_a_destroyed_app(
        self, amber: Pusher, other: JetStreamBus
    ) -> None:
        objects = amber.made.deps.objects
        state = await amber.whole()
        app = state.appuuid
        for key in (f"slugs/{app}/x-1.tgz", f"cache/{app}/cache.tgz", "slugs/another/y.tgz"):
            await objects.put(key, _bytes())
        for owner in (app, "another"):
            headers = {APPUUID: owner, "Nats-Msg-Id": new_id()}
            await other.store(subjects.buildlog("amber", state.push), b"output", headers)
        reply = await amber.api.send("apps.destroy", "ada", app="amber")
        assert (await amber.made.ended(reply)).state == "succeeded"

        async def clean() -> bool:
            left = [found.key for found in await objects.list()]
            try:
                output = await other.read("BUILDLOGS")
            except Transient:  # a message was deleted while it was waited for
                return False
            owners = [message.headers[APPUUID] for message in output]
            return left == ["slugs/another/y.tgz"] and owners == ["another"]

        await until(clean, "only what is of others")


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


async def _bytes() -> AsyncIterator[bytes]:
    yield b"x"


async def _told(pusher: Pusher, kind: str) -> bool:
    return kind in await pusher.kinds()


async def _handled(pusher: Pusher) -> None:
    """Until no report waits any more."""

    async def empty() -> bool:
        first, last = await pusher.made.deps.bus.stream_bounds("REPORTS")
        return first > last

    await until(empty, "every report is handled")
