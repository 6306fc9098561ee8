"""How an operation ends: the rows and events of success and of failure, each in one transaction."""

import time

import msgspec

from deis_bus.events.builds import PushClosed
from deis_bus.events.releases import DeployDone, DeployFailed
from deis_platform.database import Transaction
from deis_platform.events import announce
from deis_services.controller import operations, store
from deis_services.controller.deps import Deps
from deis_services.controller.model import App, Operation

DEPLOYS = ("config", "build", "rollback")


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why an operation failed: the status and body of its answer, and the release's text."""

    status: int
    body: object
    reason: str
    superseded: bool = False


def failure(status: int, detail: str, *, superseded: bool = False) -> Failure:
    """A failure whose answer is `{"detail": …}`."""
    return Failure(status=status, body={"detail": detail}, reason=detail, superseded=superseded)


async def succeed(deps: Deps, op: Operation, status: int, stages: dict[str, float]) -> None:
    """The release succeeded, its push is released, the operation has its answer; safe to repeat."""
    async with deps.db.transaction() as tx:
        app = await store.lock_app(tx, op.app)
        if not await operations.finish(tx, op, ok=True, status=status):
            return
        if app and op.version and op.kind in DEPLOYS:
            stages = await _released(tx, app, op, stages)
    for stage, seconds in stages.items():
        deps.observe(stage, seconds)


async def _released(
    tx: Transaction, app: App, op: Operation, stages: dict[str, float]
) -> dict[str, float]:
    """Gives all stages, those of the push before the deploy included."""
    told = dict(stages)
    if op.push:
        told = await push_stages(tx, op.push) | told
        await tx.execute(
            """UPDATE pushes SET state = 'released', version = $2, stages = $3::jsonb, updated = now(),
                      lease_until = NULL WHERE uuid = $1::uuid""",
            op.push,
            op.version,
            store.dump(told),
        )
    await tx.execute(
        """UPDATE releases SET state = 'succeeded', stages = $3::jsonb, updated = now()
           WHERE app = $1::uuid AND version = $2 AND state IN ('pending', 'deploying', 'succeeded')""",
        app.uuid,
        op.version,
        store.dump(told),
    )
    seconds = round(sum(told.values()), 3)
    event = DeployDone(version=op.version or 0, seconds=seconds, stages=told)
    await announce(
        tx, app=app.id, appuuid=app.uuid, event=event, actor=op.caller, traceparent=op.traceparent
    )
    return told


async def fail(deps: Deps, op: Operation, cause: Failure) -> None:
    """The operation failed: its release is marked, what ran before is wanted again."""
    async with deps.db.transaction() as tx:
        app = await store.lock_app(tx, op.app)
        await fail_in(tx, deps, app, op, cause)


async def fail_in(
    tx: Transaction, deps: Deps, app: App | None, op: Operation, cause: Failure
) -> None:
    """`fail` inside a transaction that holds the app's row."""
    answer = operations.keep(deps.keyring, cause.body)
    if not await operations.finish(tx, op, ok=False, status=cause.status, answer=answer):
        return
    if op.push:
        await tx.execute(
            """UPDATE pushes SET state = $2, reason = $3, updated = now(), lease_until = NULL
               WHERE uuid = $1::uuid AND state = 'releasing'""",
            op.push,
            "superseded" if cause.superseded else "failed",
            cause.reason,
        )
    if app is None or op.state != "running":
        return
    await _restore(tx, app, op)
    if op.version and op.kind in DEPLOYS:
        await _failed_release(tx, app, op, cause)


async def _restore(tx: Transaction, app: App, op: Operation) -> None:
    if "structure" not in op.previous:
        return
    await tx.execute(
        """UPDATE apps SET structure = $2::jsonb, wanted_version = $3, generation = generation + 1,
                  updated = now() WHERE uuid = $1::uuid""",
        app.uuid,
        store.dump(op.previous["structure"]),
        op.previous["version"],
    )


async def _failed_release(tx: Transaction, app: App, op: Operation, cause: Failure) -> None:
    text = {
        "config": f"{op.caller} deployed a config that failed",
        "rollback": f"{app.owner} performed roll back to a release that failed",
    }.get(op.kind)
    if text is None:
        build = await tx.fetchval(
            "SELECT build::text FROM releases WHERE app = $1::uuid AND version = $2",
            app.uuid,
            op.version,
        )
        text = f"{op.caller} deployed {str(build)[:7]} which failed"
    await tx.execute(
        """UPDATE releases SET state = $3, summary = $4, exception = $5, updated = now()
           WHERE app = $1::uuid AND version = $2 AND state IN ('pending', 'deploying')""",
        app.uuid,
        op.version,
        "superseded" if cause.superseded else "failed",
        text,
        f"error: {cause.reason}",
    )
    previous = op.previous.get("version", 0)
    event = DeployFailed(
        version=op.version or 0,
        reason=cause.reason,
        previous=previous if isinstance(previous, int) else 0,
    )
    await announce(
        tx, app=app.id, appuuid=app.uuid, event=event, actor=op.caller, traceparent=op.traceparent
    )


async def push_stages(tx: Transaction, push: str) -> dict[str, float]:
    """Seconds of each stage of a push so far."""
    text = await tx.fetchval("SELECT stages FROM pushes WHERE uuid = $1::uuid", push)
    return msgspec.json.decode(text or "{}", type=dict[str, float])


async def close_push(
    tx: Transaction, app: App, push: str, number: int, state: str, reason: str, actor: str = ""
) -> bool:
    """End an unfinished push without a release; False when it had ended."""
    done = await tx.fetchval(
        """UPDATE pushes SET state = $2, reason = $3, lease_until = NULL, updated = now()
           WHERE uuid = $1::uuid AND state IN ('receiving', 'queued', 'building') RETURNING uuid""",
        push,
        state,
        reason,
    )
    if done is None:
        return False
    event = PushClosed(push=push, number=number, reason=reason)
    if state == "closed":
        await announce(tx, app=app.id, appuuid=app.uuid, event=event, actor=actor)
    return True


def since(started: float) -> float:
    """Seconds since a `time.monotonic()` reading, to the millisecond."""
    return round(time.monotonic() - started, 3)
