"""What a push brought, on its way to a build: one branch chosen, its tree stored, the row queued."""

import asyncio
import contextlib
from pathlib import Path

import structlog

from deis_bus.contracts.push import PUSH_RECEIVED, PushOpened, PushReceived, PushState
from deis_bus.errors import Refused, Transient
from deis_bus.ports import Bus
from deis_bus.rpc import call
from deis_platform.objects import ObjectStore, StoreFull, TooLarge
from deis_platform.retry import retry
from deis_services.builder import parse, render
from deis_services.builder.hook import Said
from deis_services.builder.repositories import GitFault, Repositories

log = structlog.get_logger(__name__)

RETRY_SECONDS = 20.0


class NotTaken(Exception):
    """The push is refused after it came in; the text is for the client."""


class Intake:
    """Takes in what one push brought."""

    def __init__(
        self,
        bus: Bus,
        objects: ObjectStore,
        repositories: Repositories,
        opened: PushOpened,
        holder: str,
        archive_seconds: float,
    ) -> None:
        self.handing_over = False
        """From here on the push goes on without its client."""
        self.queued = False
        """The controller has it."""
        self._bus = bus
        self._objects = objects
        self._repositories = repositories
        self._opened = opened
        self._holder = holder
        self._archive_seconds = archive_seconds
        self._began = asyncio.get_running_loop().time()

    async def take(self, said: Said, path: Path) -> PushState:
        """Choose the branch, store its tree, queue the build. Raises NotTaken."""
        try:
            update = parse.chosen(parse.updates(said.lines))
            if await self._repositories.is_empty(path, update.new, said.objects):
                raise NotTaken(render.EMPTY)
            source = f"sources/{self._opened.appuuid}/{self._opened.push}.tar.gz"
            await self._store(source, path, update.new, said)
            return await self._hand_over(update, source)
        except parse.NotServed as fault:
            raise NotTaken(str(fault)) from None
        except GitFault as fault:
            log.warning("the pushed tree cannot be read", fault=str(fault))
            raise NotTaken("The pushed commit cannot be read, push it again.") from fault

    async def _store(self, source: str, path: Path, sha: str, said: Said) -> None:
        limit = self._opened.max_pack_bytes
        try:
            async with asyncio.timeout(self._archive_seconds):
                chunks = self._repositories.archive(path, sha, said.objects)
                async with contextlib.aclosing(chunks):
                    await self._objects.put(source, chunks, max_bytes=limit)
        except TooLarge:
            raise NotTaken(render.too_large(limit)) from None
        except TimeoutError:
            raise NotTaken("Packing the pushed files took too long.") from None
        except StoreFull:
            raise NotTaken(render.NO_ROOM) from None
        except Transient as fault:
            raise NotTaken(f"The pushed files could not be stored: {fault}") from fault

    async def _hand_over(self, update: parse.RefUpdate, source: str) -> PushState:
        asked = PushReceived(
            push=self._opened.push,
            holder=self._holder,
            sha=update.new,
            ref=update.ref,
            source=source,
            receive_seconds=asyncio.get_running_loop().time() - self._began,
        )
        self.handing_over = True
        try:
            bus, trace = self._bus, self._opened.traceparent
            state = await retry(
                lambda: call(bus, PUSH_RECEIVED, asked, seconds=RETRY_SECONDS, traceparent=trace),
                seconds=RETRY_SECONDS,
            )
        except Refused as fault:
            raise NotTaken(fault.detail) from None
        except Transient:
            raise NotTaken(render.AWAY) from None
        self.queued = True
        return state
