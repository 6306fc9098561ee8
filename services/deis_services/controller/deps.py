"""What the controller's parts work with, opened once in `service`."""

from collections.abc import Callable
from dataclasses import dataclass

from deis_bus.ports import Bus
from deis_platform.crypto import Keyring
from deis_platform.database import Database
from deis_platform.loglines import LogShipper
from deis_platform.objects import ObjectStore
from deis_platform.runtime.port import RoutedRuntime, Runtime
from deis_services.controller.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Deps:
    """Handed to every handler; nothing here is global."""

    db: Database
    bus: Bus
    keyring: Keyring
    runtime: Runtime
    routed: RoutedRuntime | None = None
    """The runtime, where it keeps the routes too; else bucket ROUTES holds them."""
    objects: ObjectStore
    shipper: LogShipper
    settings: Settings
    nudge: Callable[[str], None]
    """Tell the reconciler that an app (its uuid) should be looked at; call it after the commit.
    Does nothing on a replica that does not lead: the event of the change wakes the leader."""
    observe: Callable[[str, float], None] = lambda _stage, _seconds: None
    """Hears how many seconds each stage of a release took, for metrics."""
