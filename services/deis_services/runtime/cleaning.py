"""Destroyed applications leave nothing here, also those destroyed while the runtime was down."""

import asyncio

import structlog

from deis_bus.consumer import Delivered
from deis_bus.contracts.push import APPS_ALIVE, AppsAlive
from deis_bus.contracts.runtime import AppRef
from deis_bus.errors import Refused, Transient
from deis_bus.events.apps import AppDestroyed
from deis_bus.ports import Bus
from deis_bus.rpc import call
from deis_bus.streams import EVENTS, Durable
from deis_platform.runner import wait_for_stop
from deis_services.runtime.apps import Apps

log = structlog.get_logger(__name__)

DURABLE = Durable(
    name="runtime",
    stream=EVENTS.name,
    filters=(f"deis.event.*.{AppDestroyed.TYPE}",),
    ack_wait_seconds=60.0,
)
AT_ONCE = 500
LOOK_SECONDS = 600.0
RETRY_SECONDS = 5.0


class Cleaner:
    """A part: asks at the start and every ten minutes which of the kept identities still exist.

    The event comes sooner; asking finds what was missed while EVENTS was lost or trimmed.
    """

    name = "cleaner"

    def __init__(self, bus: Bus, apps: Apps) -> None:
        self._bus = bus
        self._apps = apps

    async def on_destroyed(self, _: AppDestroyed, delivered: Delivered) -> None:
        """Forget it; harmless when it is forgotten already."""
        envelope = delivered.envelope
        if envelope.appuuid:
            await self._apps.remove(AppRef(app=envelope.subject, appuuid=envelope.appuuid))

    async def run(self, stop: asyncio.Event) -> None:
        """Look again and again until stopped."""
        pause = 0.0
        while not await wait_for_stop(stop, pause):
            try:
                await self.look()
            except (Transient, Refused, OSError) as fault:
                log.info("cleaning waits", fault=str(fault))
                pause = RETRY_SECONDS
            else:
                pause = LOOK_SECONDS

    async def look(self) -> None:
        """Forget what the controller does not know."""
        known = sorted(self._apps.known())
        for start in range(0, len(known), AT_ONCE):
            part = tuple(known[start : start + AT_ONCE])
            answer = await call(self._bus, APPS_ALIVE, AppsAlive(part))
            for appuuid in set(part) - set(answer.appuuids):
                log.info("cleaning up after a destroyed application", appuuid=appuuid)
                await self._apps.remove(AppRef(app="", appuuid=appuuid))
