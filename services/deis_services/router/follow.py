"""The router's parts on the bus: follow bucket ROUTES, fetch certificates, tell bucket ROUTERS."""

import asyncio
import contextlib

import msgspec
import structlog

from deis_bus.contracts.certificates import CERTIFICATE_READ, CertificateRead
from deis_bus.errors import Refused, Transient
from deis_bus.ports import Bus
from deis_bus.routes import Applied
from deis_bus.rpc import call
from deis_bus.streams import ROUTERS, ROUTES
from deis_platform.races import unless
from deis_services.router.certs import BadPair, CertificateFolder
from deis_services.router.live import LiveTable

log = structlog.get_logger(__name__)

RENEW_SECONDS = 3.0
"""A third of the bucket's time to live."""
PAUSE_SECONDS = 0.5
GRACE_SECONDS = 5.0
"""How long routes outlive a bucket that was lost and is being written anew."""
CERTIFICATE_SECONDS = 5.0
BAD_SECONDS = 60.0
"""After which a certificate that was refused, wrong or not kept is asked for again."""
GOODBYE_SECONDS = 1.0


class Follower:
    """Takes the bucket's entries into the table; `present` is set once all of them came."""

    name = "routes"

    def __init__(self, bus: Bus, live: LiveTable, present: asyncio.Event) -> None:
        self._bus = bus
        self._live = live
        self._present = present
        self._grace: asyncio.TimerHandle | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until stopped; begins anew when the bus was away."""
        try:
            await unless(stop, self._always())
        finally:
            self._forget_never()

    async def _always(self) -> None:
        while True:
            with contextlib.suppress(Transient):
                await self._follow()
            await asyncio.sleep(PAUSE_SECONDS)

    async def _follow(self) -> None:
        async for entry in self._bus.keys(ROUTES).watch():
            if entry is not None:
                self._live.take(entry)
                continue
            missing = self._live.present_complete()
            self._forget_never()  # what an earlier present lacked may stand in this one
            if self._present.is_set() and missing:
                # Perhaps the bucket was lost and its writers are filling it again.
                self._forget_later(missing)
            else:
                self._live.forget(missing)
            self._present.set()
            log.info("route table complete", hosts=len(self._live.table.hosts()))

    def _forget_never(self) -> None:
        if self._grace is not None:
            self._grace.cancel()

    def _forget_later(self, keys: set[str]) -> None:
        loop = asyncio.get_running_loop()
        self._grace = loop.call_later(GRACE_SECONDS, self._live.forget, keys)


class Reporter:
    """Tells bucket ROUTERS which revision is in force, after each batch and every 3 s."""

    name = "report"

    def __init__(
        self, bus: Bus, live: LiveTable, router: str, ready: tuple[asyncio.Event, ...]
    ) -> None:
        self._bus = bus
        self._live = live
        self._router = router
        self._ready = ready

    async def run(self, stop: asyncio.Event) -> None:
        """Report until stopped; takes the report back at the end."""
        await unless(stop, self._always())
        with contextlib.suppress(Transient, TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._bus.keys(ROUTERS).delete(self._router)

    async def _always(self) -> None:
        for event in self._ready:
            await event.wait()
        while True:
            self._live.moved.clear()
            with contextlib.suppress(Transient):
                report = Applied(router=self._router, revision=self._live.applied)
                await self._bus.keys(ROUTERS).put(self._router, msgspec.json.encode(report))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RENEW_SECONDS):
                    await self._live.moved.wait()


class CertificateFetcher:
    """Fetches what the table names and the folder lacks; a pair that does not fit is left out."""

    name = "certificates"

    def __init__(self, bus: Bus, live: LiveTable, folder: CertificateFolder) -> None:
        self._bus = bus
        self._live = live
        self._folder = folder
        self._retry_at: dict[str, float] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Look when the table names a new one, and again while something is missing."""
        await unless(stop, self._always())

    async def _always(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._live.lacking.clear()
            for fingerprint in self._live.table.missing():
                if self._retry_at.get(fingerprint, 0.0) <= loop.time():
                    await self._fetch(fingerprint)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RENEW_SECONDS):
                    await self._live.lacking.wait()

    async def _fetch(self, fingerprint: str) -> None:
        question = CertificateRead(fingerprint)
        try:
            pair = await call(self._bus, CERTIFICATE_READ, question, seconds=CERTIFICATE_SECONDS)
            self._folder.put(fingerprint, pair.certificate, pair.key)
        except Transient:
            return
        except (Refused, BadPair, OSError) as fault:
            self._retry_at[fingerprint] = asyncio.get_running_loop().time() + BAD_SECONDS
            log.warning("certificate not usable", fingerprint=fingerprint, fault=str(fault))
        else:
            self._live.certify(fingerprint, usable=True)
