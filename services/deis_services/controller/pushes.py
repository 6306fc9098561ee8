"""Push rows: from the first byte of a `git push` to its end (DESIGN 5).

The unfinished row of an app is the lock, across replicas. Whoever holds a row renews its lease;
a lost lease closes a row that was receiving and gives a building one to another worker.
"""

import contextlib
from typing import Any

import msgspec

from deis_bus.clock import new_id
from deis_bus.contracts import push as contract
from deis_bus.contracts.runtime import AppRef
from deis_bus.errors import Refused, Transient
from deis_bus.events import Event
from deis_bus.events.builds import BuildFailed, BuildStarted, PushClosed, PushReceived
from deis_bus.rpc import Context, Empty
from deis_platform.database import Conflict, Transaction
from deis_platform.events import announce
from deis_platform.logs import get_logger
from deis_services.controller import outcome, store
from deis_services.controller.deps import Deps
from deis_services.controller.model import App

log = get_logger(__name__)

ATTEMPTS = 3
PUSH = """SELECT p.*, a.id AS app_id, extract(epoch FROM now() - p.entered)::float8 AS in_state
          FROM pushes p JOIN apps a ON a.uuid = p.app"""


class Pushes:
    """Answers the builder's requests."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    async def open(self, question: contract.PushOpen, context: Context) -> contract.PushOpened:
        """Take the app's push lock for this key's owner, or say who may not and why."""
        push = new_id()
        try:
            async with self._deps.db.transaction() as tx:
                user_id, username = await _pusher(tx, question.fingerprint, question.app)
                found = await store.app_by_id(tx, question.app)
                app = await store.lock_app(tx, found.uuid) if found else None
                if app is None:
                    raise Refused(404, "No App matches the given query.")
                number = await self._insert(tx, app, push, user_id, username, question, context)
        except Conflict:
            raise Refused(409, "Another git push is ongoing", "busy") from None
        return contract.PushOpened(
            push=push,
            number=number,
            app=app.id,
            appuuid=app.uuid,
            username=username,
            lease_seconds=self._deps.settings.lease_seconds,
            max_pack_bytes=self._deps.settings.pack_bytes,
            traceparent=context.traceparent,
        )

    async def _insert(
        self,
        tx: Transaction,
        app: App,
        push: str,
        user_id: int,
        username: str,
        question: contract.PushOpen,
        context: Context,
    ) -> int:
        number = await tx.fetchval(
            """INSERT INTO pushes (uuid, app, number, user_id, username, state, holder, lease_until,
                                   traceparent)
               VALUES ($1::uuid, $2::uuid,
                       (SELECT coalesce(max(number), 0) + 1 FROM pushes WHERE app = $2::uuid),
                       $3, $4, 'receiving', $5, now() + make_interval(secs => $6), $7)
               RETURNING number""",
            push,
            app.uuid,
            user_id,
            username,
            question.holder,
            self._deps.settings.lease_seconds,
            context.traceparent,
        )
        return int(number)

    async def renew(self, question: contract.PushRenew, _: Context) -> Empty:
        """Whoever holds the row goes on holding it."""
        async with self._deps.db.transaction() as tx:
            held = await tx.fetchval(
                """UPDATE pushes SET lease_until = now() + make_interval(secs => $4)
                   WHERE uuid = $1::uuid AND holder = $2 AND attempt = $3
                     AND state IN ('receiving', 'building') RETURNING uuid""",
                question.push,
                question.holder,
                question.attempt,
                self._deps.settings.lease_seconds,
            )
        if held is None:
            raise Refused(409, "The push is no longer held by you", "lost")
        return Empty()

    async def close(self, question: contract.PushClose, _: Context) -> Empty:
        """Nothing was received: the row ends and frees the lock."""
        async with self._deps.db.transaction() as tx:
            row = await lock(tx, question.push)
            if row and row["holder"] == question.holder and row["state"] == "receiving":
                app = await store.app_by_uuid(tx, str(row["app"]))
                if app:
                    await outcome.close_push(
                        tx, app, question.push, row["number"], "closed", question.reason
                    )
        return Empty()

    async def received(
        self, question: contract.PushReceived, context: Context
    ) -> contract.PushState:
        """The tree is stored: queue the build, or end at once when this very commit runs."""
        async with self._deps.db.transaction() as tx:
            row = await lock(tx, question.push)
            if row is None:
                raise Refused(404, "No Push matches the given query.")
            if row["state"] == "receiving" and row["holder"] == question.holder:
                await self._queue(tx, row, question)
            elif row["state"] in ("receiving", "closed"):
                raise Refused(409, "The push is no longer held by you", "lost")
        return await self.read(contract.PushRead(question.push), context)

    async def _queue(self, tx: Transaction, row: Any, question: contract.PushReceived) -> None:
        app = await store.app_by_uuid(tx, str(row["app"]))
        if app is None:
            raise Refused(404, "No App matches the given query.")
        last = await store.newest_successful(tx, app.uuid)
        build = await store.build(tx, last.build) if last else None
        current = build is not None and build.sha == question.sha
        state = "released" if current else "queued"
        await tx.execute(
            """UPDATE pushes SET state = $2, sha = $3, ref = $4, source = $5, holder = '',
                      lease_until = NULL, entered = now(), updated = now(), version = $6,
                      stages = $7::jsonb WHERE uuid = $1::uuid""",
            question.push,
            state,
            question.sha,
            question.ref,
            question.source,
            last.version if current and last else 0,
            store.dump({"receive": round(question.receive_seconds, 3)}),
        )
        told: list[Event] = [
            PushReceived(
                push=question.push, number=row["number"], sha=question.sha, ref=question.ref
            )
        ]
        if current and last:
            reason = f"already released as v{last.version}"
            told.append(PushClosed(push=question.push, number=row["number"], reason=reason))
        for event in told:
            await _tell(tx, app, event, row)

    async def read(self, question: contract.PushRead, _: Context) -> contract.PushState:
        """Where a push is now."""
        async with self._deps.db.reading() as tx:
            row = await tx.fetchrow(f"{PUSH} WHERE p.uuid = $1::uuid", question.push)
        if row is None:
            raise Refused(404, "No Push matches the given query.")
        asked = question.why and row["state"] == "releasing"
        return contract.PushState(
            push=str(row["uuid"]),
            number=row["number"],
            app=row["app_id"],
            appuuid=str(row["app"]),
            state=row["state"],
            attempt=row["attempt"],
            sha=row["sha"],
            version=row["version"],
            reason=row["reason"],
            stages=msgspec.json.decode(row["stages"]),
            waiting=await self._waiting(row) if asked else "",
        )

    async def _waiting(self, row: Any) -> str:
        """What an instance that is not up says of itself; empty where nothing is known."""
        app = AppRef(app=row["app_id"], appuuid=str(row["app"]))
        with contextlib.suppress(Transient, Refused):
            status = await self._deps.runtime.status(app)
            for one in status.instances:
                if one.release == status.release and one.state != "up" and one.reason:
                    return f"{one.type}: {one.reason}"
        return ""

    async def take(self, question: contract.BuildTake, _: Context) -> contract.BuildTask:
        """Give the oldest waiting push to a worker, with a lease; an empty task when there is none."""
        deps = self._deps
        async with deps.db.transaction() as tx:
            row = await _next_queued(tx)
            app = await store.app_by_uuid(tx, str(row["app"])) if row else None
            if row is None or app is None:
                return contract.BuildTask()
            attempt = row["attempt"] + 1
            await self._started(tx, row, app, attempt, question.worker)
            last = await store.newest_successful(tx, app.uuid)
            values = (await store.config(tx, deps.keyring, last.config)).values if last else {}
        return contract.BuildTask(
            push=str(row["uuid"]),
            number=row["number"],
            attempt=attempt,
            app=app.id,
            appuuid=app.uuid,
            username=row["username"],
            sha=row["sha"],
            source=row["source"],
            environment=values,
            cache="DEIS_DISABLE_CACHE" not in values,
            lease_seconds=deps.settings.lease_seconds,
            time_limit_seconds=deps.settings.build_seconds,
            output_limit_bytes=deps.settings.build_output_bytes,
            slug_limit_bytes=deps.settings.slug_bytes,
            traceparent=row["traceparent"],
        )

    async def _started(
        self, tx: Transaction, row: Any, app: App, attempt: int, worker: str
    ) -> None:
        stages = msgspec.json.decode(row["stages"], type=dict[str, float])
        waited = {"queue": round(stages.get("queue", 0.0) + row["in_state"], 3)}
        await tx.execute(
            """UPDATE pushes SET state = 'building', attempt = $2, holder = $3, updated = now(),
                      entered = now(), lease_until = now() + make_interval(secs => $4),
                      stages = $5::jsonb WHERE uuid = $1::uuid""",
            row["uuid"],
            attempt,
            worker,
            self._deps.settings.lease_seconds,
            store.dump(stages | waited),
        )
        await _tell(
            tx, app, BuildStarted(build=str(row["uuid"]), attempt=attempt, worker=worker), row
        )


async def judge_leases(deps: Deps) -> None:
    """Close, requeue or fail the pushes whose lease ran out (the leader calls it)."""
    async with deps.db.reading() as tx:
        rows = await tx.fetch(
            f"""{PUSH} WHERE p.lease_until < now() OR (p.state = 'queued'
                AND p.entered < now() - make_interval(secs => $1))""",
            deps.settings.queue_seconds,
        )
    for row in rows:
        try:
            if row["state"] == "building":
                # The old attempt's task is ended before another one may start.
                await deps.runtime.stop_build(f"{row['uuid']}-{row['attempt']}")
            await _judge(deps, row)
        except Transient as fault:
            log.warning("a lease waits for its judgement", push=row["uuid"], fault=str(fault))


async def _judge(deps: Deps, seen: Any) -> None:
    async with deps.db.transaction() as tx:
        row = await lock(tx, str(seen["uuid"]))
        app = await store.app_by_uuid(tx, str(seen["app"]))
        unchanged = row and (row["state"], row["attempt"], row["lease_until"]) == (
            seen["state"],
            seen["attempt"],
            seen["lease_until"],
        )
        if row is None or app is None or not unchanged:
            return
        if row["state"] == "receiving":
            await outcome.close_push(
                tx, app, str(row["uuid"]), row["number"], "closed", "the connection was lost"
            )
        elif row["state"] == "queued":
            await fail_build(tx, app, row, "no worker")
        elif row["attempt"] >= ATTEMPTS:
            await fail_build(tx, app, row, "worker lost")
        else:
            await _requeue(tx, app, row)


async def _requeue(tx: Transaction, app: App, row: Any) -> None:
    await tx.execute(
        """UPDATE pushes SET state = 'queued', holder = '', lease_until = NULL, entered = now(),
                  updated = now() WHERE uuid = $1::uuid""",
        row["uuid"],
    )
    event = PushReceived(
        push=str(row["uuid"]), number=row["number"], sha=row["sha"], ref=row["ref"]
    )
    await _tell(tx, app, event, row)


async def fail_build(tx: Transaction, app: App, row: Any, reason: str) -> None:
    """The push ends failed; the caller holds its row."""
    if await outcome.close_push(tx, app, str(row["uuid"]), row["number"], "failed", reason):
        event = BuildFailed(build=str(row["uuid"]), attempt=row["attempt"], reason=reason)
        await _tell(tx, app, event, row)


async def _tell(tx: Transaction, app: App, event: Event, row: Any) -> None:
    await announce(
        tx,
        app=app.id,
        appuuid=app.uuid,
        event=event,
        actor=row["username"],
        traceparent=row["traceparent"],
    )


async def _next_queued(tx: Transaction) -> Any:
    """The push that waits longest, held; two workers that look at once get two pushes."""
    rows = await tx.fetch(
        "SELECT uuid::text FROM pushes WHERE state = 'queued' ORDER BY entered LIMIT 20"
    )
    for candidate in rows:
        row = await lock(tx, candidate["uuid"])
        if row and row["state"] == "queued":
            return row
    return None


async def lock(tx: Transaction, push: str) -> Any:
    """The push's row with its app's, held in the order everybody takes them: app first."""
    app = await tx.fetchval("SELECT app::text FROM pushes WHERE uuid = $1::uuid", push)
    if app is None or await store.lock_app(tx, app) is None:
        return None
    return await tx.fetchrow(f"{PUSH} WHERE p.uuid = $1::uuid FOR UPDATE OF p", push)


async def _pusher(tx: Transaction, fingerprint: str, app_id: str) -> tuple[int, str]:
    """The key's owner, if they may push to the app (owner, collaborator or admin)."""
    row = await tx.fetchrow(
        """SELECT u.id, u.username, a.uuid AS app, u.is_superuser OR a.owner_id = u.id OR EXISTS
                  (SELECT FROM shares s WHERE s.app = a.uuid AND s.user_id = u.id) AS allowed
           FROM keys k JOIN users u ON u.id = k.user_id AND u.is_active
           LEFT JOIN apps a ON a.id = $2 WHERE k.fingerprint = $1""",
        fingerprint,
        app_id,
    )
    if row is None:
        raise Refused(401, "The key is not known.")
    if row["app"] is None:
        raise Refused(404, f"There is no application {app_id}.")
    if not row["allowed"]:
        raise Refused(403, f"You do not have permission to push to {app_id}.")
    return row["id"], row["username"]
