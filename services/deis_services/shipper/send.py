"""Lines on their way to the loggers: in batches, each line with its number, and asked for at the end."""

import datetime

from deis_bus import subjects
from deis_bus.contracts.logs import APPUUID, FIRST, HEARD, MAX_LINES, SOURCE, Heard, Span
from deis_bus.errors import BusError, Transient
from deis_bus.ports import Bus
from deis_bus.rpc import call
from deis_services.shipper.model import Pod
from deis_services.shipper.tail import Portion

CONFIRM_SECONDS = 10.0


class Sending:
    """One round; its figures count once `confirm` has returned."""

    def __init__(self, bus: Bus) -> None:
        self.lines = 0
        self.bytes = 0
        self.batches = 0
        self.lag = 0.0
        """Seconds from a line's time to its sending, the longest."""
        self._bus = bus
        self._spans: dict[str, Span] = {}

    async def send(self, pod: Pod, portion: Portion) -> None:
        """Send on; nobody may have it yet. Raises Transient."""
        for start in range(0, len(portion.lines), MAX_LINES):
            lines = portion.lines[start : start + MAX_LINES]
            headers = {APPUUID: pod.appuuid}
            if portion.source:
                headers |= {SOURCE: portion.source, FIRST: str(portion.first + start)}
            data = b"\n".join(lines)
            await self._bus.emit(subjects.log(pod.app), data, headers)
            self.bytes += len(data)
            self.batches += 1
        if not portion.lines:
            return
        self.lines += len(portion.lines)
        self.lag = max(self.lag, _age(portion.lines[0]))
        if portion.source:
            end = portion.first + len(portion.lines)
            begun = self._spans.get(portion.source)
            first = begun.first if begun else portion.first
            self._spans[portion.source] = Span(pod.appuuid, portion.source, first, end)

    async def confirm(self) -> None:
        """Wait until a logger has it all. Raises Transient where none says so."""
        if not self._spans:
            return
        try:
            asked = Heard(tuple(self._spans.values()))
            await call(self._bus, HEARD, asked, seconds=CONFIRM_SECONDS)
        except BusError as fault:
            raise Transient(f"no logger has the lines: {fault}") from fault


def _age(line: bytes) -> float:
    """Seconds since the time that a line begins with."""
    time, _, _ = line.partition(b" ")
    try:
        at = datetime.datetime.fromisoformat(time.decode())
    except ValueError:  # such a day never was
        return 0.0
    return max(0.0, (datetime.datetime.now(datetime.UTC) - at).total_seconds())
