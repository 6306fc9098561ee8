"""What the rows say of how an application is reached."""

from deis_bus.routes import AppRoute
from deis_platform.database import Database
from deis_services.controller import specs
from deis_services.controller.model import App


async def wanted_route(db: Database, app: App) -> AppRoute:
    """Its domains, and whether it takes requests at all."""
    async with db.reading() as tx:
        rows = await tx.fetch(
            "SELECT domain FROM domains WHERE app = $1::uuid ORDER BY domain", app.uuid
        )
    return AppRoute(
        app=app.id,
        appuuid=app.uuid,
        # Its own name is one of its domains, unless somebody had it or it was removed.
        hosts=tuple(row["domain"] for row in rows),
        # Before its first deploy an application is known and not up (components.md 1.10).
        routable=not app.structure or bool(specs.routable_type(app.structure)),
    )
