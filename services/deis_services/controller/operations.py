"""Operations: writes that wait their turn, one at a time per app (DESIGN 5)."""

import datetime
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from deis_bus.clock import new_id
from deis_bus.contracts.http import ApiAnswer, ApiCall, OperationRead, OperationState
from deis_bus.errors import Refused
from deis_bus.events.releases import OperationDone, OperationQueued
from deis_platform.crypto import Keyring
from deis_platform.database import Transaction
from deis_platform.events import announce
from deis_services.controller.deps import Deps
from deis_services.controller.model import App, Operation, User
from deis_services.controller.sealed import seal, unseal
from deis_services.controller.store import dump


class Kept(msgspec.Struct, frozen=True):
    """The answer of an ended operation, sealed in its row."""

    body: msgspec.Raw = msgspec.Raw(b"")


async def submit(
    tx: Transaction,
    deps: Deps,
    *,
    app: App,
    kind: str,
    input: Mapping[str, object],  # noqa: A002 - the column's name
    user: User,
    call: ApiCall,
) -> ApiAnswer:
    """Queue a write; the same request id again gives the first one's operation."""
    return ApiAnswer(
        status=202,
        operation=await queue(
            tx,
            deps.keyring,
            app=app,
            kind=kind,
            given=input,
            caller_id=user.id,
            caller=user.username,
            request_id=call.request_id or new_id(),
            traceparent=call.traceparent,
        ),
        app=app.id,
    )


async def queue(
    tx: Transaction,
    keyring: Keyring,
    *,
    app: App,
    kind: str,
    given: Mapping[str, object],
    caller_id: int,
    caller: str,
    request_id: str,
    traceparent: str = "",
    push: str | None = None,
) -> str:
    """Insert a queued operation and its event; gives its id. A push's waits without limit."""
    operation = new_id()
    made = await tx.fetchval(
        """INSERT INTO operations (id, app, app_id, kind, caller_id, caller, request_id, input_sealed,
                                   waits, push, traceparent)
           VALUES ($1::uuid, $2::uuid, $3, $4, $5, $6, $7, $8, $9, $10::uuid, $11)
           ON CONFLICT (request_id) DO NOTHING RETURNING id::text""",
        operation,
        app.uuid,
        app.id,
        kind,
        caller_id,
        caller,
        request_id,
        seal(keyring, given),
        push is not None,
        push,
        traceparent,
    )
    if made is None:
        first = await tx.fetchval(
            "SELECT id::text FROM operations WHERE request_id = $1", request_id
        )
        return str(first)
    await announce(
        tx,
        app=app.id,
        appuuid=app.uuid,
        event=OperationQueued(operation=operation, kind=kind),
        actor=caller,
        traceparent=traceparent,
    )
    return operation


def operation_of(keyring: Keyring, row: Any) -> Operation:
    """An Operation of its row, input opened."""
    return Operation(
        id=str(row["id"]),
        app=str(row["app"]),
        app_id=row["app_id"],
        kind=row["kind"],
        caller_id=row["caller_id"],
        caller=row["caller"],
        state=row["state"],
        input=unseal(keyring, row["input_sealed"], dict[str, Any]),
        waits=row["waits"],
        version=row["version"],
        previous=msgspec.json.decode(row["previous"]),
        push=str(row["push"]) if row["push"] else None,
        traceparent=row["traceparent"],
        created=row["created"],
        started=row["started"],
        deadline=row["deadline"],
    )


async def open_operations(tx: Transaction, keyring: Keyring, app: str) -> list[Operation]:
    """The app's running operation, then the queued ones in their order; a rollback goes first."""
    rows = await tx.fetch(
        """SELECT * FROM operations WHERE app = $1::uuid AND state IN ('queued', 'running')
           ORDER BY state = 'queued', kind <> 'rollback', seq""",
        app,
    )
    return [operation_of(keyring, row) for row in rows]


async def start(
    tx: Transaction,
    op: Operation,
    *,
    version: int | None,
    previous: object,
    seconds: float,
    answer: bytes,
) -> datetime.datetime:
    """Mark it running until a deadline; the answer for its success is kept with it."""
    deadline = await tx.fetchval(
        """UPDATE operations SET state = 'running', started = coalesce(started, now()), version = $2,
                  previous = $3::jsonb, deadline = now() + make_interval(secs => $4), answer_sealed = $5
           WHERE id = $1::uuid RETURNING deadline""",
        op.id,
        version,
        dump(previous),
        seconds,
        answer,
    )
    if deadline is None:
        raise LookupError(f"no operation {op.id}")
    return cast("datetime.datetime", deadline)


async def finish(
    tx: Transaction, op: Operation, *, ok: bool, status: int, answer: bytes | None = None
) -> bool:
    """End it, once; False when it had ended already. Without `answer` the kept one stays."""
    done = await tx.fetchval(
        """UPDATE operations SET state = $2, status = $3, ended = now(),
                  answer_sealed = coalesce($4, answer_sealed)
           WHERE id = $1::uuid AND state IN ('queued', 'running') RETURNING id""",
        op.id,
        "succeeded" if ok else "failed",
        status,
        answer,
    )
    if done is None:
        return False
    await announce(
        tx,
        app=op.app_id,
        appuuid=op.app,
        event=OperationDone(operation=op.id, kind=op.kind, state="succeeded" if ok else "failed"),
        actor=op.caller,
        traceparent=op.traceparent,
    )
    return True


def keep(keyring: Keyring, body: object | None) -> bytes:
    """An answer's body, sealed; None for an empty body."""
    raw = b"" if body is None else msgspec.json.encode(body)
    return seal(keyring, {"body": msgspec.Raw(raw) if raw else None})


def answer_of(keyring: Keyring, row: Any) -> ApiAnswer:
    """The answer of an ended operation's row."""
    body = b""
    if row["answer_sealed"]:
        kept = unseal(keyring, row["answer_sealed"], dict[str, msgspec.Raw])["body"]
        body = b"" if bytes(kept) == b"null" else bytes(kept)
    return ApiAnswer(status=row["status"], body=msgspec.Raw(body))


async def read(deps: Deps, question: OperationRead) -> OperationState:
    """How far an operation is, with its answer at the end (for the gateway that holds it open)."""
    async with deps.db.reading() as tx:
        row = await tx.fetchrow(
            "SELECT id, state, status, answer_sealed FROM operations WHERE id = $1::uuid",
            question.operation,
        )
    if row is None:
        raise Refused(404, "No Operation matches the given query.")
    ended = row["state"] in ("succeeded", "failed")
    return OperationState(
        operation=str(row["id"]),
        state=row["state"],
        answer=answer_of(deps.keyring, row) if ended else None,
    )
