"""The reconciler: one app at a time, wanted against actual, called again until both agree.

`look(app)` is safe to call at any moment and any number of times: it reads the rows, asks the
runtime, takes one step and says when to look again. A nudge (a queued operation, a changed
instance, the resync) only makes it look sooner. All of it survives `kill -9` between any two
lines: the rows say where an operation is, the runtime says what runs.
"""

import asyncio
import datetime
from collections import Counter
from collections.abc import Callable

import msgspec

from deis_bus.contracts.runtime import AppRef, AppSpec, AppStatus, Restart
from deis_bus.errors import Refused, Transient
from deis_platform.database import Transaction
from deis_platform.logs import bound, get_logger
from deis_services.controller import begin, operations, outcome, presenters, specs, store
from deis_services.controller.deps import Deps
from deis_services.controller.first_page import FirstPage
from deis_services.controller.model import App, Operation
from deis_services.controller.outcome import Failure, failure
from deis_services.controller.routes import Routes
from deis_services.controller.rules import Invalid
from deis_services.controller.wanted_routes import wanted_route

log = get_logger(__name__)
SECOND_LOOK = 2.0
"""While an operation runs, the runtime is asked again at least this often."""
ATTEMPTS = 5
"""What cannot begin for a reason nobody foresaw is given up after that many, as a message is."""


class Reconciler:
    """Moves apps towards what their rows say."""

    name = "reconciler"

    def __init__(
        self,
        deps: Deps,
        routes: Routes,
        clean: Callable[[str], None],
        missed: Callable[[], None],
    ) -> None:
        self._deps = deps
        self._routes = routes
        self._clean = clean
        """Told of apps whose objects may go: after a release, and once they are destroyed."""
        self._missed = missed
        """Told when the runtime did not hear of something: a resync must follow."""
        self._first_page = FirstPage(deps.settings.router_url, deps.settings.platform.domain)
        self._restarts: dict[str, asyncio.Task[None]] = {}
        self._faults: Counter[str] = Counter()
        """How often each operation could not begin, by its id."""

    async def look(self, app_uuid: str) -> float | None:
        """Take what steps can be taken now; seconds until it wants to look again, or None."""
        while True:
            async with self._deps.db.reading() as tx:
                # In this order: an operation is of an application that was there before it. Else one
                # that was made meanwhile would seem to be of one that is gone.
                pending = await operations.open_operations(tx, self._deps.keyring, app_uuid)
                app = await store.app_by_uuid(tx, app_uuid)
                now = await tx.fetchval("SELECT now()")
            with bound(app=app.id if app else app_uuid, release=app.wanted_version if app else 0):
                again = await self._step(app, app_uuid, pending, now)
            if again != NOW:
                return again

    async def _step(
        self, app: App | None, app_uuid: str, pending: list[Operation], now: datetime.datetime
    ) -> float | None:
        running = next((op for op in pending if op.state == "running"), None)
        queued = [op for op in pending if op.state == "queued"]
        if app is None:
            return await self._gone(app_uuid, pending)
        late = await self._expire(app, queued if running else [], now)
        if running:
            if running.kind in outcome.DEPLOYS and queued and queued[0].kind == "rollback":
                await self._supersede(app, running, queued[0])
                return NOW
            return await self._drive(app, running, now, late)
        if queued:
            await self._begin(app, queued[0])
            return NOW
        return await self._settle(app)

    async def _supersede(self, app: App, running: Operation, rollback: Operation) -> None:
        """End a running deploy for the sake of a rollback, unless that one cannot be."""
        cause = failure(409, "superseded by a rollback", superseded=True)
        async with self._deps.db.transaction() as tx:
            locked = await store.lock_app(tx, app.uuid)
            newest = await store.newest_successful(tx, app.uuid)
            try:
                if newest:
                    await begin.rollback_to(tx, self._deps, app, newest, rollback)
            except Refused as fault:
                running, cause = rollback, failure(fault.code, fault.detail)
            await outcome.fail_in(tx, self._deps, locked, running, cause)

    async def _expire(
        self, app: App, queued: list[Operation], now: datetime.datetime
    ) -> float | None:
        """Refuse who waited too long for a turn; seconds until the next one would have."""
        limit = self._deps.settings.turn_seconds
        soonest: float | None = None
        for op in queued:
            waited = (now - op.created).total_seconds()
            if op.waits or op.kind == "rollback":
                continue
            if waited >= limit:
                await outcome.fail(self._deps, op, failure(409, busy_text(app)))
            else:
                soonest = min(soonest or limit, limit - waited)
        return soonest

    async def _begin(self, app: App, op: Operation) -> None:
        """Its turn: the first transaction of the operation, or its refusal."""
        deps = self._deps
        try:
            async with deps.db.transaction() as tx:
                locked = await store.lock_app(tx, app.uuid)
                if locked is None or not await _still_queued(tx, op):
                    return
                begun = await begin.BEGINNINGS[op.kind](tx, deps, op, locked)
                previous = {"structure": locked.structure, "version": locked.wanted_version}
                answer = operations.keep(deps.keyring, begun.body)
                started = await operations.start(
                    tx,
                    op,
                    version=begun.version,
                    previous=previous if begun.drive in ("deploy", "scale") else {},
                    seconds=begun.seconds,
                    answer=answer,
                )
                log.info("operation begins", kind=op.kind, deadline=str(started))
        except Refused as fault:
            await outcome.fail(deps, op, failure(fault.code, fault.detail))
            return
        except Invalid as fault:
            cause = Failure(status=400, body=fault.fields, reason=str(fault))
            await outcome.fail(deps, op, cause)
            return
        except Transient:
            raise
        except Exception:
            self._faults[op.id] += 1
            if self._faults[op.id] < ATTEMPTS:
                raise
            log.exception("operation cannot begin", operation=op.id, kind=op.kind)
            del self._faults[op.id]
            await outcome.fail(deps, op, failure(500, "Server Error"))
            return
        if not begun.drive:
            await outcome.succeed(deps, op, begun.status, {})
        if begun.line:
            await deps.shipper.platform_line(app.id, app.uuid, "controller", "INFO", begun.line)

    async def _drive(
        self, app: App, op: Operation, now: datetime.datetime, late: float | None
    ) -> float | None:
        """Bring a running operation nearer to its end."""
        if op.kind == "restart":
            return await self._restart(app, op, late)
        if not op.previous:
            await outcome.succeed(self._deps, op, _status(op), {})
            return NOW
        try:
            await self._routes.ensure(app)
            status, told = await self._applied(app)
        except Refused as fault:
            await outcome.fail(self._deps, op, self._refusal(app, op, fault))
            return NOW
        if status.serving and status.generation == app.generation:
            if op.kind in outcome.DEPLOYS and not op.previous.get("version"):
                await self._first_page.seen(app, await wanted_route(self._deps.db, app))
            await outcome.succeed(self._deps, op, _status(op), _stages(op, status, now))
            if op.push:
                self._clean(op.app)
            return NOW
        if told:
            await self._begin_anew(op)
        overdue = not told and op.deadline is not None and now > op.deadline
        reason = status.failure or ("the deploy timed out" if overdue else "")
        if reason:
            await outcome.fail(self._deps, op, self._failure(app, op, reason))
            return NOW
        return min(SECOND_LOOK, late or SECOND_LOOK)

    async def _begin_anew(self, op: Operation) -> None:
        """A runtime that was away, or is another one, begins only now: so does the time it has.

        The row decides, for the one that was read may be old; a first start changes nothing.
        """
        async with self._deps.db.transaction() as tx:
            await tx.execute(
                """UPDATE operations SET deadline = now() + (deadline - started)
                   WHERE id = $1::uuid AND started < now() - interval '2 seconds'""",
                op.id,
            )

    def _refusal(self, app: App, op: Operation, fault: Refused) -> Failure:
        """An image that cannot be had ends it in the registry's words: nothing of the release was
        rolled out that could be rolled back (api.md 23.3)."""
        if fault.kind == "image" and op.kind in outcome.DEPLOYS:
            return failure(400, fault.detail)
        return self._failure(app, op, fault.detail)

    def _failure(self, app: App, op: Operation, reason: str) -> Failure:
        """The texts of api.md 10.1 and 24.2."""
        if op.kind == "scale":
            return failure(503, f"(scale): {reason}")
        before = op.previous.get("version")
        text = f"({app.id}::deploy): {reason}"
        if before:
            text = (
                f"({app.id}::deploy): There was a problem deploying v{op.version}. "
                f"Rolling back process types to release v{before}.\n{reason}"
            )
        return failure(400, text)

    async def run(self, stop: asyncio.Event) -> None:
        """A part, too: restarts take long, so they run beside the looks; they end with the term."""
        try:
            await stop.wait()
        finally:
            tasks = list(self._restarts.values())
            self._restarts.clear()
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    async def _restart(self, app: App, op: Operation, late: float | None) -> float | None:
        """Begin it once and see whether it is done; meanwhile others wait for their turn."""
        task = self._restarts.get(op.id)
        if task is None:
            task = asyncio.create_task(self._restarted(app, op), name=f"restart {app.id}")
            task.add_done_callback(lambda _: self._deps.nudge(app.uuid))
            self._restarts[op.id] = task
        if task.done():
            self._restarts.pop(op.id, None)
            task.result()  # where it was cut off, it is begun again after a pause
            return NOW
        return min(SECOND_LOOK, late or SECOND_LOOK)

    async def _restarted(self, app: App, op: Operation) -> None:
        # A look that read its rows before the end of a restart must not begin another one.
        if await self._is_running(op):
            await self._restart_now(app, op)
        self._restarts.pop(op.id, None)

    async def _is_running(self, op: Operation) -> bool:
        async with self._deps.db.reading() as tx:
            state = await tx.fetchval("SELECT state FROM operations WHERE id = $1::uuid", op.id)
        return bool(state == "running")

    async def _restart_now(self, app: App, op: Operation) -> None:
        asked = Restart(
            app=app.id,
            appuuid=app.uuid,
            type=str(op.input.get("type", "")),
            instance=str(op.input.get("instance", "")),
        )
        try:
            after = await self._deps.runtime.restart(asked)
        except Refused as fault:
            await outcome.fail(self._deps, op, failure(fault.code, fault.detail))
            return
        body = [presenters.pod(instance) for instance in after]
        async with self._deps.db.transaction() as tx:
            await tx.execute(
                "UPDATE operations SET answer_sealed = $2 WHERE id = $1::uuid",
                op.id,
                operations.keep(self._deps.keyring, body),
            )
        await outcome.succeed(self._deps, op, 200, {})

    async def _settle(self, app: App) -> float | None:
        """Nothing is asked for: what runs must be what is wanted."""
        try:
            await self._routes.ensure(app)
            if app.wanted_version:
                await self._applied(app)
        except Refused as fault:
            log.warning("the runtime refuses it", fault=fault.detail)
        if app.generation and not app.wanted_version:
            await self._deps.runtime.clear(AppRef(app=app.id, appuuid=app.uuid))
        return None

    async def _applied(self, app: App) -> tuple[AppStatus, bool]:
        """The runtime's status, and whether it had to be told the present spec just now."""
        ref = AppRef(app=app.id, appuuid=app.uuid)
        status = await self._deps.runtime.status(ref)
        if status.generation > app.generation:
            await self._outgrow(app, status.generation)
            return msgspec.structs.replace(status, serving=False, failure=""), False
        if status.generation < app.generation and (spec := await self._spec(app)):
            try:
                await self._deps.runtime.apply(spec)
            except Refused as fault:
                if fault.kind != "stale":
                    raise
                raise Transient(fault.detail) from fault  # it took a newer one meanwhile
            return await self._deps.runtime.status(ref), True
        return status, False

    async def _spec(self, app: App) -> AppSpec | None:
        deps = self._deps
        async with deps.db.transaction() as tx:
            release = await store.release(tx, app.uuid, app.wanted_version)
            build = await store.build(tx, release.build) if release else None
            if release is None or build is None:
                return None
            config = await store.config(tx, deps.keyring, release.config)
        return specs.app_spec(deps, app, release, build, config)

    async def _outgrow(self, app: App, generation: int) -> None:
        """The runtime holds a newer generation than the rows (a restored database): pass it."""
        async with self._deps.db.transaction() as tx:
            await tx.execute(
                "UPDATE apps SET generation = $2 + 1 WHERE uuid = $1::uuid AND generation < $2",
                app.uuid,
                generation,
            )

    async def _gone(self, app_uuid: str, pending: list[Operation]) -> float | None:
        """A destroyed app: nothing leads to it any more, the runtime forgets it, its operations end."""
        for op in pending:
            if op.kind == "destroy" and op.state == "running":
                await self._routes.remove(op.app_id, app_uuid)
                try:
                    await self._deps.runtime.remove(AppRef(app=op.app_id, appuuid=app_uuid))
                except Transient as fault:
                    # The resync removes what the runtime still holds once it is back.
                    log.warning("removed later", app=op.app_id, fault=str(fault))
                    self._missed()
                await outcome.succeed(self._deps, op, 204, {})
                log.info("app is gone", app=op.app_id, appuuid=app_uuid)
            else:
                gone = Failure(status=404, body="No App matches the given query.", reason="gone")
                await outcome.fail(self._deps, op, gone)
        self._clean(app_uuid)
        return None


NOW = -1.0
"""A step was taken: look again at once."""
STATUS = {"config": 201, "build": 201, "rollback": 201, "scale": 204, "destroy": 204}


def _status(op: Operation) -> int:
    return 200 if op.input.get("hook") else STATUS[op.kind]


def busy_text(app: App) -> str:
    """The original's words for a deploy in progress (api.md 8.1)."""
    kind = specs.routable_type(app.structure) or next(iter(sorted(app.structure)), "web")
    return f"Deployment for {app.id}-{kind} is already in progress"


def _stages(op: Operation, status: AppStatus, now: datetime.datetime) -> dict[str, float]:
    """Waiting for the turn and the deploy itself, in seconds; the runtime's own beside them."""
    started = op.started or op.created
    stages = {"turn": round((started - op.created).total_seconds(), 3)}
    deploy = round((now - started).total_seconds(), 3)
    known = {name: seconds for name, seconds in status.stages.items() if seconds >= 0}
    rest = round(max(0.0, deploy - sum(known.values())), 3)
    return stages | known | {"deploy": rest}


async def _still_queued(tx: Transaction, op: Operation) -> bool:
    state = await tx.fetchval("SELECT state FROM operations WHERE id = $1::uuid FOR UPDATE", op.id)
    return bool(state == "queued")
