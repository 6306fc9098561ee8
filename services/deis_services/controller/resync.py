"""The level trigger: wanted against actual for every application, at the start and then again."""

import asyncio
from collections.abc import Callable
from typing import Any

from deis_bus.contracts.runtime import AppRef
from deis_bus.errors import Refused, Transient
from deis_platform.logs import get_logger
from deis_platform.retry import delays
from deis_platform.runtime.port import Runtime
from deis_services.controller import reservations
from deis_services.controller.deps import Deps
from deis_services.controller.routes import Routes

log = get_logger(__name__)

Put = Callable[[str], None]
ALL_EVERY = 20
"""Every so many rounds each application is looked at, whatever it seems to be."""


class Resync:
    """A part: puts what differs into the queue, and removes what has no application any more."""

    name = "resync"

    def __init__(self, deps: Deps, routes: Routes, put: Put) -> None:
        self._deps = deps
        self._routes = routes
        self._put = put
        self._woken = asyncio.Event()
        self._rounds = 0

    def soon(self) -> None:
        """The runtime is another one, or was away: compare now."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Compare at once, then every `resync_seconds`, sooner when asked or after a fault."""
        pauses = delays(ceiling=1.0)
        while not stop.is_set():
            self._woken.clear()
            pause = self._deps.settings.resync_seconds
            try:
                await self.compare()
                pauses = delays(ceiling=1.0)
            except (Transient, Refused) as fault:
                pause = next(pauses)
                log.info("resync waits", fault=str(fault), again_in=round(pause, 2))
            await _first(stop, self._woken, pause)

    async def compare(self) -> None:
        """One round. Raises Transient while database, bus or runtime are away."""
        if self._rounds % ALL_EVERY == 0:
            for row in await self._rows():
                self._put(row["uuid"])
        self._rounds += 1
        # Asked before the rows are read: what was created meanwhile is in the rows. A name is
        # reserved before it is held, and reserved until there is a row.
        held = {ref.appuuid: ref for ref in await self._deps.runtime.held()}
        async with self._deps.db.reading() as tx:
            reserved = await reservations.living(tx)
        rows = await self._rows()
        for row in rows:
            ref = held.get(row["uuid"])
            generation = ref.generation if ref else 0
            known = self._routes.knows(row["id"])
            if row["open"] or not known or (row["generation"] and row["generation"] != generation):
                self._put(row["uuid"])
        alive = reserved | {row["uuid"] for row in rows}
        await self._remove([ref for ref in held.values() if ref.appuuid not in alive])
        await self._routes.sweep()

    async def _rows(self) -> list[Any]:
        """Every application, and what is gone but still has an operation to end."""
        async with self._deps.db.reading() as tx:
            return await tx.fetch(
                """SELECT coalesce(a.uuid, o.app)::text AS uuid, coalesce(a.id, '') AS id,
                          coalesce(a.generation, 0) AS generation, o.app IS NOT NULL AS open
                   FROM apps a FULL JOIN (SELECT DISTINCT app FROM operations
                                          WHERE state IN ('queued', 'running')) o ON o.app = a.uuid"""
            )

    async def _remove(self, gone: list[AppRef]) -> None:
        for ref in gone:
            log.info("the runtime holds an app that is gone", app=ref.app, appuuid=ref.appuuid)
            await self._deps.runtime.remove(ref)


class RuntimeWatch:
    """A part: what the runtime tells of becomes a put, or a resync."""

    name = "runtime watch"

    def __init__(self, runtime: Runtime, put: Put, resync: Callable[[], None]) -> None:
        self._runtime = runtime
        self._put = put
        self._resync = resync

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until stopped."""
        watching = asyncio.create_task(self._watch(), name="runtime watch")
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({watching, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
        finally:
            stopped.cancel()
            watching.cancel()
            await asyncio.wait({watching})

    async def _watch(self) -> None:
        async for seen in self._runtime.watch():
            if seen.appuuid:
                self._put(seen.appuuid)
            else:
                self._resync()


async def _first(stop: asyncio.Event, woken: asyncio.Event, seconds: float) -> None:
    waits = [asyncio.create_task(event.wait()) for event in (stop, woken)]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waits:
            task.cancel()
