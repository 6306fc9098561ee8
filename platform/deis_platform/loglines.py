"""Ships finished log lines of applications onto `deis.log.<app>` in batches (components.md 7.8)."""

import asyncio
import datetime
from collections import defaultdict

from deis_bus import subjects
from deis_bus.contracts.logs import APPUUID, MAX_DELAY_SECONDS, MAX_LINE_BYTES, MAX_LINES
from deis_bus.errors import Transient
from deis_bus.ports import Bus
from deis_platform.logs import get_logger
from deis_platform.names import log_suffix
from deis_platform.races import unless

log = get_logger(__name__)

MAX_BUFFERED = 20_000
"""Lines held while the bus is slow; more are dropped and counted."""
MAX_BUFFERED_BYTES = 32 * 1024 * 1024


def stamp(at: datetime.datetime | None = None) -> str:
    """RFC 3339 with seconds and numeric zone, as log lines begin."""
    return (at or datetime.datetime.now(datetime.UTC)).isoformat(timespec="seconds")


def app_line(
    app: str, process_type: str, release: int, instance: str, text: str, time: str = ""
) -> str:
    """`<time> <app>[<type>.v<release>.<suffix>]: <text>`."""
    return f"{time or stamp()} {source(app, process_type, release, instance)}: {text}"


def source(app: str, process_type: str, release: int, instance: str) -> str:
    """Who prints, as a line tells it: `<app>[<type>.v<release>.<suffix>]`."""
    suffix = log_suffix(instance)
    return f"{app}[{process_type}.v{release}" + (f".{suffix}]" if suffix else "]")


def platform_text(service: str, level: str, text: str) -> str:
    """`<time> deis[<service>]: <LEVEL> <text>`."""
    return f"{stamp()} deis[{service}]: {level} {text}"


class LogShipper:
    """A part: sends what `line` and `platform_line` were given, 50 ms later or by the hundred.

    Lines are not stored: what is shipped while the bus is away is lost, and counted.
    """

    name = "log shipper"

    def __init__(self, bus: Bus) -> None:
        self.dropped = 0
        self._bus = bus
        self._lines: dict[tuple[str, str], list[bytes]] = defaultdict(list)
        self._count = 0
        self._bytes = 0
        self._some = asyncio.Event()
        self._many = asyncio.Event()

    def line(self, app: str, appuuid: str, line: str | bytes) -> None:
        """Ship one finished line (without newline) of an application.

        Longer ones than 16 KB are cut; newlines inside become spaces.
        """
        if self._count >= MAX_BUFFERED or self._bytes >= MAX_BUFFERED_BYTES:
            self.dropped += 1
            return
        raw = line.encode(errors="replace") if isinstance(line, str) else line
        raw = raw[:MAX_LINE_BYTES].replace(b"\n", b" ")
        batch = self._lines[app, appuuid]
        batch.append(raw)
        self._count += 1
        self._bytes += len(raw)
        self._some.set()
        if len(batch) >= MAX_LINES:
            self._many.set()

    async def platform_line(
        self, app: str, appuuid: str, service: str, level: str, text: str
    ) -> None:
        """Ship a line of a service about an application."""
        self.line(app, appuuid, platform_text(service, level, text))

    async def flush(self) -> None:
        """Send everything that waits. Raises Transient when the bus is away: then it is lost."""
        lines, self._lines, left = self._lines, defaultdict(list), self._count
        self._count = self._bytes = 0
        self._some.clear()
        self._many.clear()
        for (app, appuuid), batch in lines.items():
            for start in range(0, len(batch), MAX_LINES):
                part = batch[start : start + MAX_LINES]
                try:
                    await self._bus.emit(subjects.log(app), b"\n".join(part), {APPUUID: appuuid})
                except Transient:
                    self.dropped += left
                    raise
                left -= len(part)

    async def run(self, stop: asyncio.Event) -> None:
        """Send batches until stopped, then the rest."""
        while not stop.is_set():
            await unless(stop, self._some.wait())
            await unless(stop, self._many.wait(), MAX_DELAY_SECONDS)
            await self._send()
        await self._send()  # what came during the last one

    async def _send(self) -> None:
        try:
            await self.flush()
        except Transient as fault:
            log.warning("log lines are lost", fault=str(fault), dropped=self.dropped)
