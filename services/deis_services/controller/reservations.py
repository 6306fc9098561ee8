"""Names on their way to becoming applications.

A runtime may take its time to keep a name (a cluster makes a namespace), and no transaction is open
meanwhile. So the name gets its identity first, in a row of its own; then the runtime is asked; then
the row of the application takes the place of this one. Whoever asks for the name again, at the same
time or after a crash, finds the same identity and claims the same thing once more.
"""

import contextlib

import msgspec

from deis_bus.contracts.runtime import AppRef
from deis_bus.errors import Refused, Transient
from deis_platform.database import Transaction
from deis_services.controller.deps import Deps


class Reservation(msgspec.Struct, frozen=True):
    """A name that the runtime keeps for an application to be."""

    id: str
    uuid: str


async def reserve(deps: Deps, name: str) -> Reservation | None:
    """Keep a name; None where an application has it. Raises Refused 409 `foreign` where something
    else has it in the runtime's surroundings, Transient while that is being deleted."""
    async with deps.db.transaction() as tx:
        # In this order: who waits here for a creation of that name then sees the application.
        uuid = await tx.fetchval(
            """INSERT INTO reservations (id) VALUES ($1)
               ON CONFLICT (id) DO UPDATE SET created = now() RETURNING uuid::text""",
            name,
        )
        if await tx.fetchval("SELECT EXISTS (SELECT FROM apps WHERE id = $1)", name):
            await _forget(tx, Reservation(name, uuid))
            return None
    found = Reservation(name, uuid)
    try:
        await deps.runtime.claim(AppRef(app=name, appuuid=uuid))
    except Refused:
        with contextlib.suppress(Transient):  # it goes when it is old
            async with deps.db.transaction() as tx:
                await _forget(tx, found)
        raise
    return found


async def take(tx: Transaction, found: Reservation) -> bool:
    """Give it up for the application's own row; False where somebody was faster."""
    return await _forget(tx, found)


async def living(tx: Transaction) -> set[str]:
    """The identities that are kept. Those of creations that came to no end are forgotten."""
    await tx.execute("DELETE FROM reservations WHERE created < now() - interval '10 minutes'")
    return {row["uuid"] for row in await tx.fetch("SELECT uuid::text AS uuid FROM reservations")}


async def _forget(tx: Transaction, found: Reservation) -> bool:
    gone = await tx.fetchval(
        "DELETE FROM reservations WHERE id = $1 AND uuid = $2::uuid RETURNING true",
        found.id,
        found.uuid,
    )
    return bool(gone)
