"""The controller's half of the routes on Kubernetes: annotations of each application's Service."""

import asyncio

from deis_platform.database import Database
from deis_platform.runtime.port import RoutedRuntime
from deis_services.controller.model import App
from deis_services.controller.wanted_routes import wanted_route


class ServiceRoutes:
    """Writes a route when it differs from what the Service says; it goes with the application's
    namespace, so nothing is to be removed or swept."""

    name = "routes"

    def __init__(self, runtime: RoutedRuntime, db: Database) -> None:
        self._runtime = runtime
        self._db = db

    async def run(self, stop: asyncio.Event) -> None:
        """The runtime watches the Services and nudges; nothing is left to do here."""
        await stop.wait()

    def knows(self, app_id: str) -> bool:
        """Whether the Service of that name can be reached already; True for no name."""
        return not app_id or self._runtime.routed(app_id)

    async def ensure(self, app: App) -> None:
        """Make the Service say what the rows say. Raises Transient, Refused 409 `foreign`."""
        await self._runtime.route(await wanted_route(self._db, app))

    async def remove(self, app_id: str, app_uuid: str) -> None:
        """It goes with the namespace."""

    async def sweep(self) -> None:
        """What has no application any more is removed whole, by the resync."""
