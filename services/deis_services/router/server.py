"""The part that keeps nginx running and its memory up to date."""

import asyncio
import contextlib
from typing import Any

import structlog

from deis_platform.races import unless
from deis_services.router.admin import AdminFailed
from deis_services.router.live import LiveTable
from deis_services.router.nginx import Nginx, NginxFailed, NginxSlow
from deis_services.router.render import Layout, covers, steps

log = structlog.get_logger(__name__)

PRESENT_SECONDS = 2.0
"""How long a start waits for the bus before the last good table is served."""
FIRST_PAUSE = 0.05
LAST_PAUSE = 5.0
LOG_LOOK_SECONDS = 10.0
BURST_SECONDS = 0.2
RELOAD_SECONDS = 3.0
"""Between two configurations: each leaves a worker behind until its last connection ends."""


class Server:
    """Starts nginx, loads the table, lets requests in; all again when nginx ends by itself."""

    name = "nginx"

    def __init__(self, nginx: Nginx, live: LiveTable, present: asyncio.Event) -> None:
        self.nginx = nginx
        self._live = live
        self._present = present
        self._base = nginx.layout
        self._refused: Layout | None = None
        """What nginx did not take as a whole, so that it is not asked over and over."""
        self.serving = asyncio.Event()
        """Set while requests come in."""

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until stopped; then nginx finishes what it has begun."""
        await unless(stop, self._always())
        await self.nginx.ended()

    async def _always(self) -> None:
        # On Kubernetes a router without a table lets nobody in: another one has it.
        patience = PRESENT_SECONDS if self._live.restored or not self._base.names else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
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
        self.nginx.layout = await self._fitting(self._live.layout(self._base))
        async with self.nginx.run() as process:
            try:
                self._live.know_profiles(self.nginx.layout.profiles)
                await self._live.load(self.nginx.admin)
                await self.nginx.open()
                await self._live.flush()
                self.serving.set()
                log.info("requests come in", pid=process.pid, revision=self._live.applied)
                keeping = asyncio.ensure_future(self._keep_up_to_date())
                shaping = asyncio.ensure_future(self._keep_in_shape())
                ended = asyncio.ensure_future(process.wait())
                tasks: set[asyncio.Task[Any]] = {keeping, shaping, ended}
                try:
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                    for task in tasks - {ended}:
                        if task.done():
                            task.result()
                    log.warning("nginx ended, starting it again", code=process.returncode)
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.wait(tasks)
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
                self.nginx.trim_log()

    async def _keep_in_shape(self) -> None:
        """Have nginx take over another configuration when one is wanted; bursts go together.

        Where that fails nginx goes on with the one it has, and is asked again.
        """
        while True:
            await self._live.reshaped.wait()
            await asyncio.sleep(BURST_SECONDS)
            self._live.reshaped.clear()
            wanted = self._live.layout(self._base)
            if covers(self.nginx.layout, wanted) or wanted == self._refused:
                continue
            try:
                await self._reshape(wanted)
            except (NginxFailed, OSError) as fault:
                log.warning("nginx keeps its configuration", fault=str(fault))
                self._live.reshaped.set()
            await asyncio.sleep(RELOAD_SECONDS)

    async def _reshape(self, wanted: Layout) -> None:
        """Raises NginxFailed, OSError."""
        fitting = await self._fitting(wanted)
        if not covers(self.nginx.layout, fitting):
            await self.nginx.open(fitting)
            log.info("configuration of nginx changed", profiles=len(fitting.profiles))
        self._live.know_profiles(fitting.profiles)

    async def _fitting(self, wanted: Layout) -> Layout:
        """What nginx takes of a layout: a setting that it refuses is told and left out. Raises
        NginxSlow, OSError."""
        if wanted == self._base:
            return wanted
        try:
            await self.nginx.check(wanted)
        except NginxSlow:
            raise
        except NginxFailed as fault:
            log.warning("nginx refuses its configuration", fault=str(fault))
        else:
            return wanted
        held = self._base
        for name, step in steps(held, wanted):
            try:
                await self.nginx.check(step(held))
            except NginxSlow:
                raise
            except NginxFailed as fault:
                log.warning("setting left out", setting=name, fault=str(fault))
            else:
                held = step(held)
        self._refused = wanted
        return held
