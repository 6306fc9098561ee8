"""Reads in turn, sends, and remembers what has arrived (decision 0020).

A round sends at most `ROUND_BYTES`, then asks a logger whether it has them; only then they count as
read. While nobody listens nothing is read: the files are the buffer.
"""

import asyncio

from deis_bus.contracts.logs import MAX_DELAY_SECONDS
from deis_bus.errors import Transient
from deis_bus.ports import Bus
from deis_platform.logs import get_logger
from deis_platform.races import unless
from deis_platform.retry import delays
from deis_platform.runner import wait_for_stop
from deis_services.shipper.folders import Folders
from deis_services.shipper.model import Pod
from deis_services.shipper.positions import Positions
from deis_services.shipper.send import Sending
from deis_services.shipper.tail import Portion, Tail

log = get_logger(__name__)

ROUND_BYTES = 1024 * 1024
SAVE_SECONDS = 1.0
RETRY_SECONDS = 1.0
LONGEST_PAUSE = 1.0
"""Between two tries to send."""


class Shipper:
    """A part: everything from the files to the bus. Files stay open up to `most_files`."""

    name = "shipper"

    def __init__(self, bus: Bus, folders: Folders, positions: Positions, most_files: int) -> None:
        self.lines = 0
        self.bytes = 0
        self.batches = 0
        self.lag = 0.0
        """Seconds between a line and its sending, the worst of the last round."""
        self.refusals = 0
        """Rounds that nobody took."""
        self._bus = bus
        self._folders = folders
        self._positions = positions
        self._half = most_files // 2
        """Of the files that may be open: so many from before, so many in one round."""
        self._woken = asyncio.Event()
        self._unsaved = asyncio.Event()
        self._retry_at = 0.0
        self._waiting = False
        """Whether the last round was refused."""

    def known(self, pod: Pod) -> None:
        """A pod of an application on this node."""
        self._folders.known(pod)
        self._woken.set()

    def forgotten(self, pod: Pod) -> None:
        """It is gone."""
        self._folders.forgotten(pod)
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Ship until stopped. Raises OSError where there is nothing to read from at all."""
        self._folders.open()
        pauses = delays(ceiling=LONGEST_PAUSE)
        saving = asyncio.create_task(self._keep_saved(), name="positions")
        try:
            while not stop.is_set():
                try:
                    await self._once(stop)
                except Transient as fault:
                    self._refused(fault)
                    await wait_for_stop(stop, next(pauses))
                else:
                    pauses = delays(ceiling=LONGEST_PAUSE)
        finally:
            saving.cancel()
            await asyncio.wait({saving})
            await self._save()
            self._folders.close()

    def _refused(self, fault: Transient) -> None:
        self.refusals += 1
        if not self._waiting:
            log.warning("log lines wait in their files", fault=str(fault))
        self._waiting = True

    async def _once(self, stop: asyncio.Event) -> None:
        self._folders.hear()
        self._folders.close_some(self._half)
        if self._folders.late and asyncio.get_running_loop().time() >= self._retry_at:
            self._retry_at = asyncio.get_running_loop().time() + RETRY_SECONDS
            self._folders.retry()
        if not self._folders.ready:
            self.lag = 0.0
            await self._wait(stop)
            return
        await unless(stop, self._round())
        if not self._folders.ready:
            # Whoever writes line by line is not sent line by line.
            await wait_for_stop(stop, MAX_DELAY_SECONDS)

    async def _wait(self, stop: asyncio.Event) -> None:
        """Until something happens; what could not be read or watched is tried again."""
        self._woken.clear()
        self._folders.events.arm(self._woken.set)
        try:
            late = RETRY_SECONDS if self._folders.late else None
            await unless(stop, self._woken.wait(), late)
        finally:
            self._folders.events.disarm()

    async def _round(self) -> None:
        """Send what can be read now, in turn, up to the limit. Raises Transient: nothing counts."""
        given: dict[Tail, None] = {}
        sending = Sending(self._bus)
        arrived = False
        try:
            most = max(1, self._half)
            while self._folders.ready and sending.bytes < ROUND_BYTES and len(given) < most:
                tail = next(iter(self._folders.ready))
                del self._folders.ready[tail]
                given[tail] = None
                portion = self._read(tail)
                if portion is not None:
                    self._folders.ready[tail] = None
                    await sending.send(tail.pod, portion)
                    if not portion.lines:
                        await asyncio.sleep(0)  # it may be long on its way to some
            await sending.confirm()
            arrived = True
            self._count(sending)
        finally:
            self._settle(given, arrived)

    def _read(self, tail: Tail) -> Portion | None:
        try:
            return tail.read()
        except OSError as fault:
            log.warning("log cannot be read", pod=tail.pod.name, fault=str(fault))
            self._folders.put_off(tail)
            return None

    def _count(self, sent: Sending) -> None:
        self.lines += sent.lines
        self.bytes += sent.bytes
        self.batches += sent.batches
        self.lag = sent.lag
        if self._waiting and sent.lines:
            self._waiting = False
            log.info("log lines go on")

    def _settle(self, given: dict[Tail, None], arrived: bool) -> None:
        for tail in given:
            if arrived:
                tail.commit()
            else:
                tail.rollback()
                self._folders.ready[tail] = None
            if tail.finished:
                self._folders.done(tail)
        self._unsaved.set()

    async def _keep_saved(self) -> None:
        """Beside the shipping, for a disk may be slow."""
        while True:
            await self._unsaved.wait()
            await self._save()
            await asyncio.sleep(SAVE_SECONDS)

    async def _save(self) -> None:
        self._unsaved.clear()
        try:
            await asyncio.to_thread(self._positions.save, self._folders.saved())
        except OSError as fault:
            self._unsaved.set()
            log.warning("positions cannot be saved", fault=str(fault))
