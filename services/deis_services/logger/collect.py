"""Takes batches of log lines off the bus and hands them to whoever keeps or passes them on."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

from deis_bus import subjects
from deis_bus.contracts.logs import APPUUID, FIRST, MAX_LINES, SOURCE, Span
from deis_bus.errors import Transient
from deis_bus.ports import Bus, Received
from deis_platform.logs import get_logger
from deis_platform.retry import delays
from deis_platform.runner import wait_for_stop
from deis_services.logger.seen import Seen

log = get_logger(__name__)

MAX_DIGITS = 15
"""Of a line's number."""
HEARD_SECONDS = 3.0
"""That somebody waits for what is on its way; what was lost there is sent again then."""


class Sink(Protocol):
    """Where lines go; drains will be further ones."""

    def take(self, appuuid: str, lines: list[bytes]) -> None:
        """Lines of an application, in order. Must not wait: the next batch is behind it."""


class Collector:
    """A part: every batch of `deis.log.*`; each replica hears all of them."""

    name = "collector"

    def __init__(self, bus: Bus, sinks: Sequence[Sink]) -> None:
        self.lines = 0
        """Taken so far."""
        self.refused = 0
        """Batches that were not what the contract says, so far."""
        self.seen = Seen()
        self._more = asyncio.Event()
        self._bus = bus
        self._sinks = sinks

    async def run(self, stop: asyncio.Event) -> None:
        """Collect until stopped, through any absence of the bus."""
        pauses = delays()
        while not stop.is_set():
            collecting = asyncio.create_task(self._collect(), name="collect")
            stopping = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait({collecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if collecting.done():
                    collecting.result()
            except Transient as fault:
                log.warning("log lines wait for the bus", fault=str(fault))
                await wait_for_stop(stop, next(pauses))
            finally:
                for task in (collecting, stopping):
                    task.cancel()
                await asyncio.gather(collecting, stopping, return_exceptions=True)

    async def heard(self, spans: Iterable[Span]) -> None:
        """Wait until all these lines were taken. Raises Transient where they do not come."""
        try:
            async with asyncio.timeout(HEARD_SECONDS):
                for span in spans:
                    name = _name(span.appuuid, span.source)
                    while not self.seen.has(name, span.first, span.end):
                        self._more.clear()
                        await self._more.wait()
        except TimeoutError as fault:
            raise Transient("not all of these lines were heard") from fault

    async def _collect(self) -> None:
        async with self._bus.subscribe(subjects.LOGS) as batches:
            async for batch in batches:
                self._take(batch)

    def _take(self, batch: Received) -> None:
        appuuid = batch.headers.get(APPUUID, "")
        lines = batch.data.split(b"\n")
        if not appuuid or len(lines) > MAX_LINES:
            self.refused += 1
            return
        if source := batch.headers.get(SOURCE, ""):
            first = batch.headers.get(FIRST, "")
            if not (first.isascii() and first.isdigit() and len(first) <= MAX_DIGITS):
                self.refused += 1
                return
            lines = self.seen.fresh(_name(appuuid, source), int(first), lines)
            self._more.set()
        self.lines += len(lines)
        for sink in self._sinks:
            sink.take(appuuid, lines)


def _name(appuuid: str, source: str) -> str:
    """Sources of applications do not mix, whatever they call themselves."""
    return f"{appuuid}/{source}"
