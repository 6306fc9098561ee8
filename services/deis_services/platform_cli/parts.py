"""A service as a part of `up`: a task in this process, or a process of its own."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from deis_platform import settings
from deis_platform.embedded.keeper import Keeper
from deis_platform.embedded.owners import Owner
from deis_platform.embedded.server import launched
from deis_platform.logs import bound
from deis_services.platform_cli.services import Door

GRACE_SECONDS = 25.0
"""For a process of its own, after SIGTERM."""


class ServiceEnded(Exception):
    """A service's process ended by itself."""


class InProcess:
    """The service as a task of this process."""

    def __init__(self, name: str, environment: Mapping[str, str], door: Door) -> None:
        self.name = name
        self._environment = environment
        self._door = door

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until stopped; raises what the service raises, SettingsError among it."""
        serve, kind = await asyncio.to_thread(self._door, self.name)
        loaded = settings.load(kind, self._environment)
        with bound(service=self.name):
            await serve(loaded, stop)


class OwnProcess:
    """The service as `deis-platform run NAME`."""

    def __init__(
        self, name: str, environment: Mapping[str, str], keeper: Keeper, log_file: Path
    ) -> None:
        self.name = name
        self.pid = 0
        """0 while it does not run."""
        self._environment = environment
        self._keeper = keeper
        self._log_file = log_file

    async def run(self, stop: asyncio.Event) -> None:
        """One life of the process. Raises ServiceEnded when it ends before it was told to."""
        process = await self._spawn()
        self._keeper.record(process.pid)
        self.pid = process.pid
        ended = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not stop.is_set():
                raise ServiceEnded(f"{self.name} ended with code {ended.result()}")
        finally:
            stopping.cancel()
            await self._end(process, ended)

    async def _spawn(self) -> asyncio.subprocess.Process:
        output = os.open(self._log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        command = [sys.executable, "-P", "-m", "deis_services.main", "run", self.name]
        try:
            return await asyncio.create_subprocess_exec(
                *launched(command, signal.SIGTERM, Owner()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**self._environment, **self._keeper.environment},
            )
        finally:
            os.close(output)

    async def _end(self, process: asyncio.subprocess.Process, ended: asyncio.Task[int]) -> None:
        if not ended.done():
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GRACE_SECONDS):
                    await asyncio.shield(ended)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await ended
        self.pid = 0
        self._keeper.forget(process.pid)
