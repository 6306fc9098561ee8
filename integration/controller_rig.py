"""What the controller's tests stand on: its dependencies on a database of their own."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from deis_bus.ports import Bus
from deis_platform.crypto import Keyring
from deis_platform.database import open_database
from deis_platform.groups import (
    BusSettings,
    DatabaseSettings,
    HealthSettings,
    LogSettings,
    ObjectsSettings,
    PlatformSettings,
)
from deis_platform.loglines import LogShipper
from deis_platform.objects import open_objects
from deis_platform.runtime.port import Runtime
from deis_platform.settings import load
from deis_services.controller.deps import Deps
from deis_services.controller.settings import Settings

OWNER = "deis_services.controller"
"""The package that owns the schema."""


def settings_of(database: DatabaseSettings, folder: Path, **changes: Any) -> Settings:
    """Settings of a controller whose objects lie in `folder`."""
    made = Settings(
        bus=load(BusSettings, {}),
        database=database,
        objects=load(ObjectsSettings, {"DEIS_OBJECTS_URL": f"file://{folder}/objects"}),
        platform=load(PlatformSettings, {}),
        health=load(HealthSettings, {}),
        logs=load(LogSettings, {}),
        **_defaults(),
    )
    return replace(made, **changes)


def _defaults() -> dict[str, Any]:
    return {
        "api_url": "http://deis.example.com",
        "git_url": "ssh://git@example.com:2222",
        "artifacts_url": "http://127.0.0.1:8088",
        "registration_mode": "enabled",
        "deploys_at_once": 8,
        "turn_seconds": 30.0,
        "lease_seconds": 30.0,
        "queue_seconds": 900.0,
        "resync_seconds": 30.0,
    }


@asynccontextmanager
async def dependencies(
    settings: Settings, bus: Bus, runtime: Runtime, nudge: Callable[[str], None] = lambda _: None
) -> AsyncIterator[Deps]:
    """A controller's dependencies; the keys are new each time."""
    async with open_database(settings.database) as db, open_objects(settings.objects) as objects:
        yield Deps(
            db=db,
            bus=bus,
            keyring=Keyring.generate(),
            runtime=runtime,
            objects=objects,
            shipper=LogShipper(bus),
            settings=settings,
            nudge=nudge,
        )
