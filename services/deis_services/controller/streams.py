"""The bus' streams and buckets, which the controller makes (DESIGN 4, 9)."""

import asyncio

import msgspec

from deis_bus.errors import Transient
from deis_bus.ports import Bus
from deis_bus.streams import BUCKETS, BUILDLOGS, DAY, DEAD, EVENTS, REPORTS, Stream
from deis_platform.logs import get_logger
from deis_platform.runner import wait_for_stop
from deis_services.controller.settings import Settings

log = get_logger(__name__)

ENSURE_SECONDS = 2.0


def bounded(settings: Settings) -> tuple[Stream, ...]:
    """The streams with the bounds of the settings; reports stay until they are acked."""
    return (
        _bounded(EVENTS, settings.events_days, settings.events_bytes),
        REPORTS,
        _bounded(BUILDLOGS, settings.buildlogs_days, settings.buildlogs_bytes),
        _bounded(DEAD, settings.dead_days, settings.dead_bytes),
    )


def _bounded(stream: Stream, days: float, size: int) -> Stream:
    return msgspec.structs.replace(stream, max_age_seconds=days * DAY, max_bytes=size)


class Streams:
    """A part: makes streams and buckets, again after each time the bus had been away."""

    name = "streams"

    def __init__(self, bus: Bus, streams: tuple[Stream, ...]) -> None:
        self._bus = bus
        self._streams = streams

    async def run(self, stop: asyncio.Event) -> None:
        """Keep them there until stopped."""
        made_at = -1
        while not stop.is_set():
            connection = self._bus.counts.reconnects
            if connection != made_at:
                try:
                    await self._bus.ensure(self._streams, BUCKETS)
                    made_at = connection
                except Transient as fault:
                    log.warning("streams wait for the bus", fault=str(fault))
            await wait_for_stop(stop, ENSURE_SECONDS if made_at == connection else 0.2)
