"""What services report, into rows and events: build results, instances, components."""

from contextlib import AbstractContextManager
from typing import Any

import msgspec

from deis_bus.consumer import Delivered
from deis_bus.events import Event
from deis_bus.events.builds import BuildCreated, BuildDone, BuildFailed, BuildSuperseded
from deis_bus.events.fleet import (
    ComponentCrashed,
    ComponentMissing,
    ComponentOutdated,
    ComponentReturned,
    ComponentStarted,
    ComponentUpdated,
)
from deis_bus.events.processes import InstanceChanged, InstanceCrashed, RunEnded
from deis_bus.streams import REPORTS, Durable
from deis_bus.subjects import REPORTS as SUBJECTS
from deis_platform.database import Transaction
from deis_platform.events import announce
from deis_platform.logs import bound
from deis_services.controller import operations, pushes, store
from deis_services.controller.deps import Deps
from deis_services.controller.model import App


def line_of(delivered: Delivered) -> AbstractContextManager[None]:
    """Fields on every log line while a report is handled."""
    return bound(event=delivered.envelope.type, app=delivered.envelope.subject)


DURABLE = Durable(name="controller", stream=REPORTS.name, filters=(SUBJECTS,))


class Reports:
    """Handlers of the REPORTS stream; each is safe to run twice."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    def handlers(self) -> dict[type[Event], Any]:
        """For the consumer: event type to handler."""
        return {
            BuildDone: self.on_build_done,
            BuildFailed: self.on_build_failed,
            InstanceChanged: self.on_instance,
            InstanceCrashed: self.on_instance,
            RunEnded: self.on_instance,
            ComponentCrashed: self.on_component,
            ComponentMissing: self.on_component,
            ComponentOutdated: self.on_component,
            ComponentReturned: self.on_component,
            ComponentStarted: self.on_component,
            ComponentUpdated: self.on_component,
        }

    async def on_build_done(self, event: BuildDone, delivered: Delivered) -> None:
        """A build was made: record it and queue its release, in one transaction."""
        async with self._deps.db.transaction() as tx:
            row = await pushes.lock(tx, event.build)
            if row is None:
                return
            app = await store.app_by_uuid(tx, str(row["app"]))
            if app is None or row["state"] in ("releasing", "released"):
                return
            if row["state"] != "building" or row["attempt"] != event.attempt:
                late = BuildSuperseded(build=event.build, attempt=event.attempt)
                await _tell(tx, app, late, row, delivered)
                return
            await _tell(tx, app, event, row, delivered)
            created = BuildCreated(build=event.build, kind="buildpack")
            await _tell(tx, app, created, row, None)
            await self._record(tx, app, row, event)
        self._deps.nudge(app.uuid)

    async def _record(self, tx: Transaction, app: App, row: Any, event: BuildDone) -> None:
        build = await store.build(tx, event.build) or await store.insert_build(
            tx,
            app=app.uuid,
            owner_id=row["user_id"],
            image=event.artifact,
            sha=row["sha"],
            procfile=event.procfile,
            dockerfile="true" if event.dockerfile else "",
            uuid=event.build,
        )
        stages = msgspec.json.decode(row["stages"], type=dict[str, float])
        inner = {f"build {name}": round(seconds, 3) for name, seconds in event.stages.items()}
        rest = max(0.0, round(row["in_state"] - sum(inner.values()), 3))
        await tx.execute(
            """UPDATE pushes SET state = 'releasing', lease_until = NULL, holder = '', entered = now(),
                      updated = now(), stages = $2::jsonb WHERE uuid = $1::uuid""",
            row["uuid"],
            store.dump(stages | inner | {"build": rest}),
        )
        await operations.queue(
            tx,
            self._deps.keyring,
            app=app,
            kind="build",
            given={"build": build.uuid, "procfile": build.procfile},
            caller_id=row["user_id"],
            caller=row["username"],
            request_id=f"push-{event.build}",
            traceparent=row["traceparent"],
            push=event.build,
        )

    async def on_build_failed(self, event: BuildFailed, delivered: Delivered) -> None:
        """A build ended without an artifact; the push ends with its words."""
        async with self._deps.db.transaction() as tx:
            row = await pushes.lock(tx, event.build)
            app = await store.app_by_uuid(tx, str(row["app"])) if row else None
            if row is None or app is None:
                return
            # An attempt whose lease ran out was stopped, and tells so: another one follows.
            if row["state"] == "building" and row["attempt"] == event.attempt:
                await pushes.fail_build(tx, app, row, event.reason)

    async def on_instance(self, event: Event, delivered: Delivered) -> None:
        """An instance changed: tell it once, and look at its app."""
        envelope = delivered.envelope
        async with self._deps.db.transaction() as tx:
            app = await store.lock_app(tx, envelope.appuuid) if envelope.appuuid else None
            if app is None:
                return
            await announce(
                tx,
                app=app.id,
                appuuid=app.uuid,
                event=event,
                event_id=envelope.id,
                source=envelope.source,
            )
        self._deps.nudge(app.uuid)

    async def on_component(self, event: Event, delivered: Delivered) -> None:
        """Something of a component: an event of the platform."""
        async with self._deps.db.transaction() as tx:
            await announce(
                tx,
                app="_",
                appuuid="",
                event=event,
                event_id=delivered.envelope.id,
                source=delivered.envelope.source,
            )


async def _tell(
    tx: Transaction, app: App, event: Event, row: Any, delivered: Delivered | None
) -> None:
    """What was reported keeps its id, so that a second delivery writes no second row."""
    envelope = delivered.envelope if delivered else None
    await announce(
        tx,
        app=app.id,
        appuuid=app.uuid,
        event=event,
        actor=row["username"],
        traceparent=row["traceparent"],
        event_id=envelope.id if envelope else "",
        source=envelope.source if envelope else "controller",
    )
