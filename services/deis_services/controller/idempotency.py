"""A repeat with the same `Idempotency-Key` gets the first answer (DESIGN 5).

The row is written first, in the request's own transaction: a repeat that comes meanwhile waits
for that row at the unique index and then reads what the first one left.
"""

import hashlib
import hmac

from deis_bus.contracts.http import ApiAnswer, ApiCall
from deis_platform.crypto import Keyring
from deis_platform.database import Transaction
from deis_services.controller.problem import detail
from deis_services.controller.sealed import seal, unseal

MAX_KEY = 255
OTHER = "This Idempotency-Key was used for another request"


async def begin(
    tx: Transaction, keyring: Keyring, user_id: int, call: ApiCall, app_id: str
) -> ApiAnswer | None:
    """Claim the key; the kept answer when it is taken by the same request of the last 24 h.

    Raises Problem 422 when it was another request, 400 for a key that is too long.
    """
    key, route = call.idempotency_key, _route(call)
    if len(key) > MAX_KEY:
        raise detail(400, f"Idempotency-Key can have at most {MAX_KEY} characters")
    await tx.execute(
        "DELETE FROM idempotency WHERE user_id = $1 AND created < now() - interval '24 hours'",
        user_id,
    )
    claimed = await tx.fetchval(
        """INSERT INTO idempotency (user_id, key, route, body_hash) VALUES ($1, $2, $3, $4)
           ON CONFLICT (user_id, key) DO NOTHING RETURNING user_id""",
        user_id,
        key,
        route,
        _hash(keyring, call),
    )
    if claimed is not None:
        return None
    return await kept(tx, keyring, user_id, call, app_id)


async def kept(
    tx: Transaction, keyring: Keyring, user_id: int, call: ApiCall, app_id: str
) -> ApiAnswer | None:
    """The answer kept under the request's key, None when there is none; raises Problem 422."""
    row = await tx.fetchrow(
        """SELECT route, body_hash, operation::text AS operation, answer_sealed FROM idempotency
           WHERE user_id = $1 AND key = $2 AND created >= now() - interval '24 hours'""",
        user_id,
        call.idempotency_key,
    )
    if row is None:
        return None
    if row["route"] != _route(call) or row["body_hash"] != _hash(keyring, call):
        raise detail(422, OTHER)
    if row["operation"]:
        return ApiAnswer(status=202, operation=row["operation"], app=app_id)
    return unseal(keyring, row["answer_sealed"], ApiAnswer)


async def keep(
    tx: Transaction, keyring: Keyring, user_id: int, call: ApiCall, given: ApiAnswer
) -> None:
    """Keep the first answer, or the operation it will come from."""
    await tx.execute(
        """UPDATE idempotency SET operation = $3::uuid, status = $4, answer_sealed = $5
           WHERE user_id = $1 AND key = $2""",
        user_id,
        call.idempotency_key,
        given.operation or None,
        given.status,
        None if given.operation else seal(keyring, given),
    )


def _route(call: ApiCall) -> str:
    path = ",".join(f"{name}={value}" for name, value in sorted(call.path.items()))
    return f"{call.endpoint} {path}"


def _hash(keyring: Keyring, call: ApiCall) -> str:
    # Keyed: a body may hold a password, and a bare hash of one can be guessed.
    return hmac.new(keyring.derive("idempotency"), bytes(call.body), hashlib.sha256).hexdigest()
