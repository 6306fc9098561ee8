"""Operations: the HTTP request is held open until the operation has ended (DESIGN 5)."""

import asyncio
import contextlib

import msgspec
import structlog

from deis_bus import rpc
from deis_bus.contracts.http import OPERATION_READ, ApiAnswer, OperationRead, OperationState
from deis_bus.errors import BusError, Refused, Transient
from deis_bus.events.releases import OperationDone
from deis_bus.ports import Bus
from deis_services.gateway.listen import listen, losses, subject_of

log = structlog.get_logger(__name__)
READ_AGAIN_SECONDS = 5.0
AWAY_SECONDS = 1.0


class Operations:
    """Waits for operations; a part: one standing subscription wakes who waits."""

    name = "operations"

    def __init__(self, bus: Bus, again: float = READ_AGAIN_SECONDS) -> None:
        self._bus = bus
        self._again = again
        self._waiting: dict[str, set[asyncio.Event]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Listen for ends until stopped."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._hear(stop))
            group.create_task(self._look_after_losses(stop))

    async def _look_after_losses(self, stop: asyncio.Event) -> None:
        async for _ in losses(self._bus, stop):
            for waiters in self._waiting.values():
                for waiter in waiters:
                    waiter.set()

    async def _hear(self, stop: asyncio.Event) -> None:
        done = msgspec.json.Decoder(OperationDone).decode
        async for message in listen(self._bus, subject_of("", OperationDone.TYPE), stop):
            try:
                operation = done(message.data).operation
            except msgspec.MsgspecError:
                continue
            for waiter in self._waiting.get(operation, ()):
                waiter.set()

    async def state(self, operation: str) -> str:
        """How far it is; `queued` where nobody can say."""
        try:
            return (await self._read(operation)).state
        except BusError:
            return "queued"

    async def outcome(self, operation: str) -> ApiAnswer:
        """Wait for its end, for as long as it takes, and give its answer."""
        woken = asyncio.Event()
        waiters = self._waiting.setdefault(operation, set())
        waiters.add(woken)
        try:
            while True:
                pause = self._again
                try:
                    answer = await self._ended(operation)
                    if answer is not None:
                        return answer
                except Transient as fault:
                    log.info("cannot be read now", operation=operation, fault=str(fault))
                    pause = min(AWAY_SECONDS, self._again)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await woken.wait()
                woken.clear()
        finally:
            waiters.discard(woken)
            if not waiters:
                self._waiting.pop(operation, None)

    async def _ended(self, operation: str) -> ApiAnswer | None:
        """Its answer once it has ended. Raises Transient while nobody can say."""
        try:
            return (await self._read(operation)).answer
        except Refused as fault:
            if fault.code >= 500:
                raise Transient(fault.detail) from fault
            body = msgspec.json.encode({"detail": fault.detail})
            return ApiAnswer(status=fault.code, body=msgspec.Raw(body))

    async def _read(self, operation: str) -> OperationState:
        return await rpc.call(self._bus, OPERATION_READ, OperationRead(operation), seconds=10.0)
