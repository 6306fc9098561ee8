"""What events mean for a builder: a push to take, an application whose remains may go."""

from collections.abc import Callable
from typing import Any

from deis_bus.consumer import Delivered
from deis_bus.events import Event
from deis_bus.events.apps import AppDestroyed
from deis_bus.events.builds import PushReceived
from deis_bus.streams import EVENTS, Durable
from deis_services.builder.cleaner import Cleaner

DURABLE = Durable(
    name="builder",
    stream=EVENTS.name,
    filters=(f"deis.event.*.{PushReceived.TYPE}", f"deis.event.*.{AppDestroyed.TYPE}"),
)


class Wake:
    """Handlers of the durable consumer; both are safe to run twice."""

    def __init__(self, wake: Callable[[], None], cleaner: Cleaner) -> None:
        self._wake = wake
        self._cleaner = cleaner

    def handlers(self) -> dict[type[Event], Any]:
        """For the consumer: event type to handler."""
        return {PushReceived: self.on_push, AppDestroyed: self.on_destroyed}

    async def on_push(self, event: PushReceived, delivered: Delivered) -> None:
        """Somebody may take a push; whether there still is one, the row says."""
        self._wake()

    async def on_destroyed(self, event: AppDestroyed, delivered: Delivered) -> None:
        """An application is gone."""
        if delivered.envelope.appuuid:
            await self._cleaner.remove(delivered.envelope.appuuid)
