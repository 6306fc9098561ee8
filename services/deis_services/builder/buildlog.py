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


class OutputLog:
    """The output of one attempt. What exceeds the limit is left out, and the log says so."""

    def __init__(self, bus: Bus, task: BuildTask) -> None:
        self._bus = bus
        self._task = task
        self._subject = subjects.buildlog(task.app, task.push)
        self._waiting = bytearray()
        self._some = asyncio.Event()
        self._turn = asyncio.Lock()
        self._stored = 0
        self._left = task.output_limit_bytes
        """Bytes that may still come; negative once the log has said that no more will."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator["OutputLog"]:
        """Send batches while the context lasts."""
        sending = asyncio.create_task(self._send(), name="build output")
        try:
            yield self
        finally:
            sending.cancel()
            await asyncio.wait((sending,))

    async def write(self, data: bytes) -> None:
        """More output; waits where the bus cannot keep up."""
        kept = data[: max(0, self._left)]
        self._left -= len(kept)
        self._waiting += kept
        if len(kept) < len(data) and self._left == 0:
            self._left = -1
            limit = self._task.output_limit_bytes
            self._waiting += f"\n(the output is longer than {limit} bytes: no more)\n".encode()
        self._some.set()
        if len(self._waiting) >= BATCH_BYTES:
            await self._flush()

    async def end(self, how: str, last: str = "") -> None:
        """No more comes; `how` is `done` or `failed`, `last` a line that says why."""
        if last:
            self._waiting += (b"" if self._clean() else b"\n") + last.encode() + b"\n"
        await self._flush({buildlog.END: how})

    def _clean(self) -> bool:
        return not self._waiting or self._waiting.endswith(b"\n")

    async def _send(self) -> None:
        while True:
            await self._some.wait()
            await asyncio.sleep(BATCH_SECONDS)
            await self._flush()

    async def _flush(self, more: dict[str, str] | None = None) -> None:
        async with self._turn:
            self._some.clear()
            data, self._waiting = bytes(self._waiting), bytearray()
            if data or more:
                # Once it is taken it is stored, even if the caller is cancelled meanwhile.
                await asyncio.shield(asyncio.ensure_future(self._store(data, more or {})))

    async def _store(self, data: bytes, more: dict[str, str]) -> None:
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
