"""Somebody who pushes, as the builder and its workers do it with the controller."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deis_bus import subjects
from deis_bus.clock import new_id, timestamp
from deis_bus.codec import encode
from deis_bus.contracts.push import (
    BUILD_TAKE,
    PUSH_OPEN,
    PUSH_READ,
    PUSH_RECEIVED,
    BuildTake,
    BuildTask,
    PushOpen,
    PushOpened,
    PushRead,
    PushReceived,
    PushState,
)
from deis_bus.envelope import Envelope
from deis_bus.events import Event
from deis_bus.events.builds import BuildDone
from deis_bus.jetstream import JetStreamBus
from deis_platform.runtime.memory import MemoryRuntime
from integration.bus_rig import OnNats
from integration.controller_rig import OWNER, Controller, controller, settings_of
from integration.databases import fresh_database
from integration.servers import RunningPostgres, until

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


class WithPushers(OnNats):
    """Fixtures of a pusher."""

    @pytest.fixture
    async def amber(
        self, bus: JetStreamBus, other: JetStreamBus, postgres: RunningPostgres, tmp_path: Path
    ) -> AsyncIterator[Pusher]:
        """With the default limits."""
        async with platform(bus, other, postgres, tmp_path) as made:
            yield made

    @pytest.fixture
    async def hasty(
        self, bus: JetStreamBus, other: JetStreamBus, postgres: RunningPostgres, tmp_path: Path
    ) -> AsyncIterator[Pusher]:
        """Where leases are judged soon, but not so soon that a slow machine loses one, and turns are
        short."""
        async with platform(
            bus, other, postgres, tmp_path, lease_seconds=LEASE_SECONDS, turn_seconds=0.3
        ) as made:
            yield made


async def handled(pusher: Pusher) -> None:
    """Until no report waits any more."""

    async def empty() -> bool:
        first, last = await pusher.made.deps.bus.stream_bounds("REPORTS")
        return first > last

    await until(empty, "every report is handled")
