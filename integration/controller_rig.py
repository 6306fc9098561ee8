"""What the controller's tests stand on: its dependencies, and its parts, on real servers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deis_bus.consumer import Consumer
from deis_bus.contracts.http import OPERATION_READ, OperationRead, OperationState
from deis_bus.ports import Bus
from deis_platform.crypto import Keyring
from deis_platform.database import Database, open_database
from deis_platform.events import EventRelay
from deis_platform.groups import DatabaseSettings
from deis_platform.loglines import LogShipper
from deis_platform.objects import open_objects
from deis_platform.runner import Part, run_parts
from deis_platform.runtime.memory import MemoryRuntime
from deis_platform.runtime.port import Runtime
from deis_platform.settings import load
from deis_services.controller import accounts
from deis_services.controller.deps import Deps
from deis_services.controller.leader import Leader, Nudges
from deis_services.controller.reports import DURABLE, Reports
from deis_services.controller.settings import Settings
from deis_services.controller.term import LeaderTerm
from integration.controller_api.rig import Api, Reply
from integration.servers import until

OWNER = "deis_services.controller"
"""The package that owns the schema."""
IMAGE = {"image": "registry/example"}
"""The body of a build that any runtime in memory runs."""


def settings_of(database: DatabaseSettings, folder: Path, **changes: Any) -> Settings:
    """Settings of a controller whose objects lie in `folder`."""
    environ = {
        "DEIS_OBJECTS_URL": f"file://{folder}/objects",
        "DEIS_API_URL": "http://deis.example.com",
        "DEIS_GIT_URL": "ssh://git@example.com:2222",
    }
    return replace(load(Settings, environ), database=database, **changes)


@asynccontextmanager
async def dependencies(
    settings: Settings,
    bus: Bus,
    runtime: Runtime,
    nudge: Callable[[str], None] = lambda _: None,
    keyring: Keyring | None = None,
) -> AsyncIterator[Deps]:
    """A controller's dependencies, with new keys unless some are given."""
    async with open_database(settings.database) as db, open_objects(settings.objects) as objects:
        yield Deps(
            db=db,
            bus=bus,
            keyring=keyring or Keyring.generate(),
            runtime=runtime,
            objects=objects,
            shipper=LogShipper(bus),
            settings=settings,
            nudge=nudge,
        )


@dataclass
class Controller:
    """A controller that runs in this process, and what a test needs of it."""

    deps: Deps
    api: Api
    runtime: MemoryRuntime
    leader: Leader
    relay: EventRelay

    async def state(self, reply: Reply) -> OperationState:
        """The operation of an answer, now."""
        question = OperationRead(reply.answer.operation)
        found: OperationState = await self.api.ask(OPERATION_READ, question)
        return found

    async def ended(self, reply: Reply) -> OperationState:
        """The operation of an answer, once it has ended."""
        assert reply.status == 202, reply.body

        async def done() -> bool:
            return (await self.state(reply)).state in ("succeeded", "failed")

        await until(done, "the end of the operation")
        return await self.state(reply)

    async def running(self, reply: Reply) -> None:
        """Until it has its turn."""

        async def begun() -> bool:
            return (await self.state(reply)).state != "queued"

        await until(begun, "the turn of the operation")

    async def deploys(self, version: int) -> None:
        """Until the runtime has taken that release; only then it can be made ready."""

        def taken() -> bool:
            return bool(self.runtime.applied) and self.runtime.applied[-1].release == version

        await until(taken, f"the runtime has taken v{version}")

    async def releases(self, app: str = "amber") -> list[tuple[int, str]]:
        """Number and state of every release, in order."""
        rows = await self.api.rows(
            """SELECT version, state FROM releases r JOIN apps a ON a.uuid = r.app
               WHERE a.id = $1 ORDER BY version""",
            app,
        )
        return [(row["version"], row["state"]) for row in rows]


@asynccontextmanager
async def controller(
    settings: Settings,
    bus: Bus,
    runtime: MemoryRuntime,
    keyring: Keyring | None = None,
    around: Callable[[Database], Database] | None = None,
) -> AsyncIterator[Controller]:
    """A replica with everything but its endpoints on the bus; cut off at the end, not stopped.

    `around` puts something between its parts and the database; requests of `api` go past it.
    """
    nudges = Nudges()
    async with dependencies(settings, bus, runtime, nudges, keyring) as plain:
        deps = replace(plain, db=around(plain.db)) if around else plain
        leader = Leader(deps.db, nudges, lambda: LeaderTerm(deps))
        relay = EventRelay(deps.db, bus)
        reports = Consumer(bus, DURABLE, Reports(deps).handlers(), "reports", probe=deps.db.ready)
        parts: tuple[Part, ...] = (leader, relay, reports, deps.shipper)
        running = asyncio.create_task(run_parts(parts, asyncio.Event()))
        try:
            yield Controller(plain, Api(plain), runtime, leader, relay)
        finally:
            running.cancel()
            await asyncio.wait({running})


async def deployed(made: Controller, app: str = "amber") -> None:
    """An application with a release v2 that runs."""
    await made.api.send("apps.create", "ada", {"id": app})
    end = await made.ended(await made.api.send("builds.create", "ada", IMAGE, app=app))
    assert end.state == "succeeded", end


def tokens(keyring: Keyring) -> str:
    """The first user's token."""
    return accounts.token_of(keyring, 1, 1)
