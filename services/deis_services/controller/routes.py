"""The controller's half of the route table: `app.<name>` in bucket ROUTES, rebuilt from the rows."""

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

from deis_bus.errors import Transient
from deis_bus.ports import Bus
from deis_bus.routes import AppRoute, app_key
from deis_bus.streams import ROUTES
from deis_platform.database import Database
from deis_platform.races import unless
from deis_services.controller.model import App
from deis_services.controller.wanted_routes import wanted_route

READ_SECONDS = 5.0


class Routes(Protocol):
    """How requests reach applications, written from the rows; a part."""

    @property
    def name(self) -> str:
        """For logs."""
        ...

    async def run(self, stop: asyncio.Event) -> None:
        """What has to go on meanwhile, until stopped."""

    def knows(self, app_id: str) -> bool:
        """Whether there is a route of that name; True for no name."""
        ...

    async def ensure(self, app: App) -> None:
        """Make the routes say what the rows say. Raises Transient, Refused."""

    async def remove(self, app_id: str, app_uuid: str) -> None:
        """Take a destroyed app's route away, unless the name has a new owner."""

    async def sweep(self) -> None:
        """Remove routes whose application is gone. Raises Transient."""


class RouteWriter:
    """Writes a route when it differs from what the bucket holds, as a watch tells."""

    name = "routes"

    def __init__(self, bus: Bus, db: Database, reread: Callable[[], None]) -> None:
        self._keys = bus.keys(ROUTES)
        self._db = db
        self._reread = reread
        """Told when the bucket's present was read whole: something may lack in it."""
        self._held: dict[str, bytes] = {}
        self._present = asyncio.Event()
        """Set once the bucket was read whole: before that everything would be written again."""

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the bucket, so that a lost one is noticed and written again."""
        await unless(stop, self._follow())

    async def _follow(self) -> None:
        async for entry in self._keys.watch():
            if entry is None:
                # A watch that was interrupted does not tell what is lacking since.
                self._held = {
                    present.key: present.data
                    for present in await self._keys.entries()
                    if present.data is not None and present.key.startswith("app.")
                }
                self._present.set()
                self._reread()
            elif entry.data is None:
                self._held.pop(entry.key, None)
            elif entry.key.startswith("app."):
                self._held[entry.key] = entry.data

    def knows(self, app_id: str) -> bool:
        """Whether the bucket holds a route of that name; True for no name."""
        return not app_id or app_key(app_id) in self._held

    async def ensure(self, app: App) -> None:
        """Make the bucket say what the rows say. Raises Transient while it cannot be read."""
        try:
            # Not wait_for: it forgets a cancellation that comes as the event does.
            async with asyncio.timeout(READ_SECONDS):
                await self._present.wait()
        except TimeoutError:
            raise Transient("the routes cannot be read") from None
        data = msgspec.json.encode(await wanted_route(self._db, app))
        key = app_key(app.id)
        if self._held.get(key) != data:
            await self._keys.put(key, data)
            self._held[key] = data

    async def remove(self, app_id: str, app_uuid: str) -> None:
        """Take a destroyed app's route away, unless the name has a new owner."""
        entry = await self._keys.get(app_key(app_id))
        if entry is None or entry.data is None:
            return
        if msgspec.json.decode(entry.data, type=AppRoute).appuuid == app_uuid:
            await self._keys.delete(app_key(app_id))
            self._held.pop(app_key(app_id), None)

    async def sweep(self) -> None:
        """Remove routes whose application is gone. Raises Transient."""
        # A route is written after its row: what was held before the rows were read has one.
        held = [msgspec.json.decode(data, type=AppRoute) for data in self._held.values()]
        async with self._db.reading() as tx:
            rows = await tx.fetch("SELECT uuid::text AS uuid FROM apps")
        alive = {row["uuid"] for row in rows}
        for route in held:
            if route.appuuid not in alive:
                await self.remove(route.app, route.appuuid)
