"""A full disk breaks the NATS server's files until it starts anew, room or no room: so start it."""

import asyncio
import shutil
import signal
from pathlib import Path

from deis_platform.embedded.server import Server
from deis_platform.logs import get_logger
from deis_platform.runner import wait_for_stop

log = get_logger(__name__)

LOOK_SECONDS = 1.0
ENOUGH_BYTES = 16 * 1024 * 1024
COMPLAINT = b"no space left on device"


class Room:
    """A part: restarts the server once there is room again, after it had complained in its log.

    A block of a stream that could not be written refuses every later write as well (2.15).
    """

    name = "room for the bus"

    def __init__(self, server: Server, log_file: Path) -> None:
        self._server = server
        self._log_file = log_file
        self._read = _size(log_file)
        self._complained = False

    async def run(self, stop: asyncio.Event) -> None:
        """Look until stopped."""
        while not await wait_for_stop(stop, LOOK_SECONDS):
            self._complained = await asyncio.to_thread(self._news) or self._complained
            if self._complained and shutil.disk_usage(self._log_file.parent).free > ENOUGH_BYTES:
                log.warning("there is room again, the bus is started anew")
                self._server.signal(signal.SIGTERM)
                self._complained = False

    def _news(self) -> bool:
        """Whether the log complains in what was written since the last look."""
        size = _size(self._log_file)
        if size == self._read:
            return False
        with self._log_file.open("rb") as file:
            file.seek(self._read if size > self._read else 0)
            told = file.read()
        self._read = size
        return COMPLAINT in told


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
