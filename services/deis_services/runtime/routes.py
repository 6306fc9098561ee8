"""What the runtime says of the route table, and the handshake with the routers (DESIGN 6, 7)."""

import asyncio
import contextlib

import msgspec
import structlog

from deis_bus.errors import Transient
from deis_bus.ports import Bus, Entry
from deis_bus.routes import Applied, Upstreams, upstreams_key
from deis_bus.streams import ROUTERS, ROUTES
from deis_platform.races import unless

log = structlog.get_logger(__name__)

CONFIRM_SECONDS = 5.0
"""A router that does not report in this time is no longer waited for."""
ALIVE_SECONDS = ROUTERS.ttl_seconds
PAUSE_SECONDS = 0.5
NEVER = 2**63
"""A revision that no router reports."""
UP = upstreams_key("")

_applied = msgspec.json.Decoder(Applied).decode
_upstreams = msgspec.json.Decoder(Upstreams).decode


class Routes:
    """A part: keeps `up.<app>` as it was last asked for, and knows how far each router is.

    `clean` waits until what an earlier runtime left in the table is gone: before that no port
    may be handed out.
    """

    name = "routes"

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._keys = bus.keys(ROUTES)
        self._wanted: dict[str, Upstreams] = {}
        self._leftover: set[str] = set()
        """Applications whose entry still has to go."""
        self._routers: dict[str, tuple[int, float]] = {}
        self._moved = asyncio.Event()
        self._newest = 0
        """The last revision of ours."""
        self.present = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the routers until stopped; begins anew when the bus was away."""
        await unless(stop, self._always())

    async def put(self, upstreams: Upstreams) -> int:
        """Write these addresses; gives the revision. Raises Transient: then ask again."""
        self._wanted[upstreams.app] = upstreams
        self._leftover.discard(upstreams.app)
        data = msgspec.json.encode(upstreams)
        self._newest = await self._keys.put(upstreams_key(upstreams.app), data)
        return self._newest

    async def drop(self, app: str, appuuid: str) -> int:
        """Take the application out; gives the revision, NEVER when it will be done later.

        An entry of another identity stays: the name has a new owner.
        """
        wanted = self._wanted.get(app)
        if wanted is not None and wanted.appuuid != appuuid:
            return self._newest
        self._wanted.pop(app, None)
        self._leftover.add(app)
        try:
            return await self._remove(app)
        except Transient:
            return NEVER

    async def ready(self) -> bool:
        """Whether the table holds nothing of an earlier runtime; for the health check."""
        return self.present.is_set()

    async def clean(self) -> None:
        """Wait until no live router knows anything of an earlier runtime."""
        await self.present.wait()
        await self.confirmed(self._newest)

    async def confirmed(self, revision: int) -> bool:
        """Wait until every live router applied the revision, at most 5 s; whether they did."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONFIRM_SECONDS):
                while not self.dropped(revision):
                    await self._moved.wait()
                return True
        log.warning("a router is late", revision=revision, routers=sorted(self._live()))
        return False

    def dropped(self, revision: int) -> bool:
        """Whether every live router applied this revision."""
        return all(applied >= revision for applied in self._live().values())

    def _live(self) -> dict[str, int]:
        now = asyncio.get_running_loop().time()
        return {
            router: applied
            for router, (applied, heard) in self._routers.items()
            if now - heard < ALIVE_SECONDS
        }

    async def _always(self) -> None:
        while True:
            with contextlib.suppress(Transient):
                async with contextlib.aclosing(self._bus.keys(ROUTERS).watch()) as watch:
                    async for entry in watch:
                        if entry is None:
                            self._believe()
                            await self._mend()
                        else:
                            self._hear(entry)
            await asyncio.sleep(PAUSE_SECONDS)

    def _hear(self, entry: Entry) -> None:
        if entry.data is None:
            self._routers.pop(entry.key, None)
        else:
            try:
                report = _applied(entry.data)
            except msgspec.MsgspecError as fault:
                log.warning("not a router's report", key=entry.key, fault=str(fault))
                return
            now = asyncio.get_running_loop().time()
            self._routers[entry.key] = (report.revision, now)
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _believe(self) -> None:
        """After a gap: who could not report meanwhile may serve all the same."""
        now = asyncio.get_running_loop().time()
        self._routers = {router: (applied, now) for router, (applied, _) in self._routers.items()}

    async def _mend(self) -> None:
        """After each gap: the bucket may have been lost, or hold what nobody wants any more."""
        held: dict[str, bytes] = {}
        for entry in await self._keys.entries():
            if entry.key.startswith(UP) and entry.data is not None:
                held[entry.key.removeprefix(UP)] = entry.data
        if not self.present.is_set():
            self._leftover.update(held.keys() - self._wanted.keys())
        # Each as it is now: others write meanwhile.
        for app in tuple(self._leftover):
            if app in self._leftover:
                await self._remove(app)
        for app in tuple(self._wanted):
            upstreams = self._wanted.get(app)
            if upstreams is not None and _differs(held.get(app, b""), upstreams):
                await self.put(upstreams)
        self.present.set()

    async def _remove(self, app: str) -> int:
        self._newest = await self._keys.delete(upstreams_key(app))
        self._leftover.discard(app)
        return self._newest


def _differs(data: bytes, upstreams: Upstreams) -> bool:
    try:
        return _upstreams(data) != upstreams
    except msgspec.MsgspecError:
        return True
