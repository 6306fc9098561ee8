"""Build output on its way into BUILDLOGS: in batches, bounded, in order, each stored once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from deis_bus import subjects
from deis_bus.contracts import buildlog
from deis_bus.contracts.push import BuildTask
from deis_bus.errors import Transient
from deis_bus.ports import Bus
from deis_platform.retry import delays

BATCH_SECONDS = 0.05
BATCH_BYTES = 256 * 1024
LAST_SECONDS = 1.0


class OutputLog:
    """The output of one attempt. What exceeds the limit is left out, and the log says so."""

    def __init__(self, bus: Bus, task: BuildTask) -> None:
        self._bus = bus
        self._task = task
        self._subject = subjects.buildlog(task.app, task.push)
        self._waiting = bytearray()
        self._some = asyncio.Event()
        self._room = asyncio.Event()
        self._closing = asyncio.Event()
        self._end = ""
        self._open_line = False
        self._stored = 0
        self._left = task.output_limit_bytes
        """Bytes that may still come; negative once the log has said that no more will."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator["OutputLog"]:
        """Send batches while the context lasts, and what is left at its end."""
        sending = asyncio.create_task(self._send(), name="build output")
        try:
            yield self
        finally:
            # An attempt that is cut off shows what it had said.
            self._close()
            await asyncio.wait((sending,), timeout=LAST_SECONDS)
            sending.cancel()
            await asyncio.wait((sending,))

    async def write(self, data: bytes) -> None:
        """More output; waits where the bus cannot keep up."""
        kept = data[: max(0, self._left)]
        self._left -= len(kept)
        self._waiting += kept
        self._open_line = not kept.endswith(b"\n") if kept else self._open_line
        if len(kept) < len(data) and self._left == 0:
            self._left = -1
            limit = self._task.output_limit_bytes
            self._waiting += f"\n(the output is longer than {limit} bytes: no more)\n".encode()
            self._open_line = False
        self._some.set()
        while len(self._waiting) >= BATCH_BYTES:
            self._room.clear()
            await self._room.wait()

    async def end(self, how: str, last: str = "") -> None:
        """No more comes; `how` is `done` or `failed`, `last` a line that says why."""
        if last:
            self._waiting += (b"\n" if self._open_line else b"") + last.encode() + b"\n"
        self._end = how
        self._close()
        while self._end:
            self._room.clear()
            await self._room.wait()

    def _close(self) -> None:
        self._closing.set()
        self._some.set()

    async def _send(self) -> None:
        """The only one that stores: in order, and nothing is lost when a writer is cancelled."""
        while True:
            await self._some.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BATCH_SECONDS):
                    await self._closing.wait()
            self._some.clear()
            data, self._waiting = bytes(self._waiting), bytearray()
            end = self._end
            if data or end:
                await self._store(data, {buildlog.END: end} if end else {})
            self._end = "" if end else self._end
            self._room.set()
            if self._closing.is_set() and not self._some.is_set():
                return

    async def _store(self, data: bytes, more: dict[str, str]) -> None:
        """Until the stream has it, however long the bus is away."""
        task = self._task
        self._stored += 1
        headers = {
            buildlog.APPUUID: task.appuuid,
            buildlog.ATTEMPT: str(task.attempt),
            "Nats-Msg-Id": f"{task.push}-{task.attempt}-{self._stored}",
            **more,
        }
        for pause in delays():
            with contextlib.suppress(Transient):
                await self._bus.store(self._subject, data, headers)
                return
            await asyncio.sleep(pause)
