"""What the routers know of one application, so that nothing they know is ended (DESIGN 6)."""

import asyncio
from collections.abc import Callable

from deis_bus.contracts.runtime import AppSpec
from deis_bus.routes import Upstreams
from deis_services.runtime.routes import Routes

DROPPED_SECONDS = 0.2
"""A router that has dropped an instance may still be sending what it had begun."""


class Outlet:
    """The application's entry in the route table. `moved` is called when routers confirmed."""

    def __init__(self, routes: Routes, moved: Callable[[], None]) -> None:
        self._routes = routes
        self._moved = moved
        self._addresses: tuple[str, ...] | None = None
        self._revision = 0
        self._confirmed = 0
        self._known: set[str] = set()
        """Addresses that a router may know of."""
        self._tasks: set[asyncio.Task[None]] = set()

    def serves(self, addresses: tuple[str, ...]) -> bool:
        """Whether exactly these are written, and every live router has them or is too late."""
        return addresses == self._addresses and self._confirmed >= self._revision

    async def put(self, spec: AppSpec, addresses: tuple[str, ...]) -> None:
        """Write the addresses, if they are others than before. Raises Transient."""
        if addresses == self._addresses:
            return
        self._known.update(addresses)
        upstreams = Upstreams(
            app=spec.app, appuuid=spec.appuuid, generation=spec.generation, addresses=addresses
        )
        self._addresses = None  # unknown, where the answer gets lost
        revision = await self._routes.put(upstreams)
        self._addresses, self._revision = addresses, revision
        task = asyncio.create_task(self._confirm(revision))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drop(self, spec: AppSpec) -> None:
        """Take the application out of the route table, as soon as the bus allows it."""
        self._revision = await self._routes.drop(spec.app, spec.appuuid)
        self._addresses = ()

    async def left(self, address: str) -> int:
        """Wait until no live router sends anything to an address that is not written any more.

        Gives the revision since which it is out, 0 if no router ever knew it.
        """
        if address not in self._known:
            return 0
        revision = self._revision
        await self._routes.confirmed(revision)
        await asyncio.sleep(DROPPED_SECONDS)
        self._known.discard(address)
        return revision

    async def _confirm(self, revision: int) -> None:
        await self._routes.confirmed(revision)
        self._confirmed = max(self._confirmed, revision)
        self._moved()
