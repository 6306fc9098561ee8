"""What may go goes: slugs past the last 20, everything of destroyed applications, old rows."""

import asyncio
from collections.abc import Callable
from typing import Any

from deis_bus import subjects
from deis_bus.contracts.buildlog import APPUUID
from deis_bus.errors import Transient
from deis_bus.streams import BUILDLOGS
from deis_platform.database import Transaction
from deis_platform.logs import get_logger
from deis_platform.runner import wait_for_stop
from deis_services.controller import store
from deis_services.controller.deps import Deps
from deis_services.controller.handlers.builds import is_uuid

log = get_logger(__name__)

PLACES = ("sources", "slugs", "cache")
"""Where objects of an application are, each under its identity (docs/architecture.md)."""
SWEEP_SECONDS = 3600.0
BATCH = 1_000

OLD_ROWS = (
    "DELETE FROM logins WHERE at < now() - interval '1 minute'",
    "DELETE FROM idempotency WHERE created < now() - interval '24 hours'",
    """DELETE FROM operations WHERE id IN (SELECT id FROM operations
           WHERE ended < now() - interval '30 days' LIMIT 10000)""",
    # The newest ones stay: numbers go on from them.
    """DELETE FROM pushes p WHERE state IN ('released', 'failed', 'superseded', 'closed')
           AND updated < now() - interval '30 days'
           AND number <= (SELECT max(number) - 20 FROM pushes n WHERE n.app = p.app)""",
)


class Cleaner:
    """Cleans up after one application at a time; safe at any moment and any number of times."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    async def look(self, appuuid: str) -> None:
        """Trim a living application's objects, remove everything of one that is gone.

        Raises Transient while something is away.
        """
        async with self._deps.db.transaction() as tx:
            alive = await store.app_by_uuid(tx, appuuid) is not None
        if alive:
            await self._trim(appuuid)
        else:
            await self._purge(appuuid)

    async def _trim(self, appuuid: str) -> None:
        objects = self._deps.objects
        # Listed before the rows are read: what is uploaded later is not judged by them.
        slugs = [found.key for found in await objects.list(f"slugs/{appuuid}/")]
        sources = [found.key for found in await objects.list(f"sources/{appuuid}/")]
        async with self._deps.db.transaction() as tx:
            if await store.lock_app(tx, appuuid) is None:
                return
            kept = await store.kept_slugs(tx, appuuid, self._deps.settings.slugs_kept)
            unfinished = await _unfinished(tx, appuuid)
        for key in (*slugs, *sources):
            push = key.rsplit("/", 1)[-1][:36]
            if key not in kept and push not in unfinished:
                await objects.delete(key)

    async def _purge(self, appuuid: str) -> None:
        for place in PLACES:
            await self._deps.objects.delete_prefix(f"{place}/{appuuid}/")
        async with self._deps.db.reading() as tx:
            rows = await tx.fetch(
                "SELECT DISTINCT app_id FROM operations WHERE app = $1::uuid", appuuid
            )
        for row in rows:
            await self._purge_output(row["app_id"], appuuid)

    async def _purge_output(self, app_id: str, appuuid: str) -> None:
        """Output of builds goes by the identity in its headers: the name may have a new owner."""
        bus, start = self._deps.bus, 1
        while True:
            subject = subjects.buildlog(app_id, "x").removesuffix("x") + "*"
            found = await bus.read(BUILDLOGS.name, (subject,), start, BATCH)
            for message in found:
                if message.headers.get(APPUUID) == appuuid:
                    await bus.remove(BUILDLOGS.name, message.sequence)
            if len(found) < BATCH:
                return
            start = found[-1].sequence + 1


async def _unfinished(tx: Transaction, appuuid: str) -> set[str]:
    rows = await tx.fetch(
        """SELECT uuid::text AS uuid FROM pushes WHERE app = $1::uuid
           AND state IN ('receiving', 'queued', 'building', 'releasing')""",
        appuuid,
    )
    return {row["uuid"] for row in rows}


class Housekeeping:
    """A part: old rows go, and the cleaner looks at every application that has objects."""

    name = "housekeeping"

    def __init__(self, deps: Deps, clean: Callable[[str], None]) -> None:
        self._deps = deps
        self._clean = clean

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep at once and then every hour, until stopped."""
        while not stop.is_set():
            pause = SWEEP_SECONDS
            try:
                await self.sweep()
            except Transient as fault:
                log.warning("housekeeping waits", fault=str(fault))
                pause = 10.0
            await wait_for_stop(stop, pause)

    async def sweep(self) -> None:
        """One round. Raises Transient while something is away."""
        async with self._deps.db.reading() as tx:
            for statement in OLD_ROWS:
                await tx.execute(statement)
            gone: list[Any] = await tx.fetch(
                """SELECT DISTINCT app::text AS app FROM operations WHERE kind = 'destroy'
                   AND state = 'succeeded' AND ended > now() - interval '8 days'"""
            )
        for row in gone:
            self._clean(row["app"])
        for found in await self._deps.objects.list():
            parts = found.key.split("/")
            if parts[0] in PLACES and len(parts) > 2 and is_uuid(parts[1]):
                self._clean(parts[1])
