"""The part that keeps nginx running and its memory up to date."""

import asyncio
import contextlib

import structlog

from deis_platform.races import unless
from deis_services.router.admin import AdminFailed
from deis_services.router.live import LiveTable
from deis_services.router.nginx import Nginx, NginxFailed

log = structlog.get_logger(__name__)

PRESENT_SECONDS = 2.0
"""How long a start waits for the bus before the last good table is served."""
FIRST_PAUSE = 0.05
LAST_PAUSE = 5.0
LOG_LOOK_SECONDS = 10.0


class Server:
    """Starts nginx, loads the table, lets requests in; all again when nginx ends by itself."""

    name = "nginx"

    def __init__(self, nginx: Nginx, live: LiveTable, present: asyncio.Event) -> None:
        self._nginx = nginx
        self._live = live
        self._present = present
        self.serving = asyncio.Event()
        """Set while requests come in."""

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until stopped; then nginx finishes what it has begun."""
        await unless(stop, self._always())
        await self._nginx.ended()

    async def _always(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PRESENT_SECONDS):
                await self._present.wait()
        pause = FIRST_PAUSE
        while True:
            try:
                await self._once()
                pause = FIRST_PAUSE
            except (NginxFailed, AdminFailed, OSError) as fault:
                log.warning("nginx is not serving", fault=str(fault), again_in=pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LAST_PAUSE)

    async def _once(self) -> None:
        """From start to end of one nginx."""
        async with self._nginx.run() as process:
            try:
                await self._live.load(self._nginx.admin)
                await self._nginx.open()
                await self._live.flush()
                self.serving.set()
                log.info("requests come in", pid=process.pid, revision=self._live.applied)
                keeping = asyncio.ensure_future(self._keep_up_to_date())
                ended = asyncio.ensure_future(process.wait())
                try:
                    await asyncio.wait({keeping, ended}, return_when=asyncio.FIRST_COMPLETED)
                    if keeping.done():
                        keeping.result()
                    log.warning("nginx ended, starting it again", code=process.returncode)
                finally:
                    keeping.cancel()
                    ended.cancel()
            finally:
                self.serving.clear()
                self._live.detach()

    async def _keep_up_to_date(self) -> None:
        """Write changes as they come; what comes meanwhile goes together. Raises AdminFailed."""
        loop = asyncio.get_running_loop()
        look_at = loop.time()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOG_LOOK_SECONDS):
                    await self._live.changed.wait()
                await self._live.flush()
            if loop.time() >= look_at:
                look_at = loop.time() + LOG_LOOK_SECONDS
                self._nginx.trim_log()
