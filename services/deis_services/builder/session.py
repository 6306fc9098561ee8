"""One SSH session as the builder sees it: who is there, since when silent, whether still there."""

import asyncio
import contextlib
from collections.abc import Callable

import asyncssh
from asyncssh.constants import EXTENDED_DATA_STDERR

from deis_platform.races import first

SFTP_VERSION = 3


class GitSession(asyncssh.SSHServerProcess[bytes]):
    """A channel of an authenticated client; bytes in either direction are a sign of life."""

    def __init__(self, start: Callable[["GitSession"], None], fingerprint: str) -> None:
        super().__init__(self._started, None, SFTP_VERSION, False)
        self.fingerprint = fingerprint
        """Of the key that opened the connection."""
        self.gone = asyncio.Event()
        """Set once the client or its connection is."""
        self.at_work = False
        """While set nothing is expected of the client."""
        self._start = start
        self._heard = asyncio.get_running_loop().time()

    async def stalled(self, limit: float) -> None:
        """Returns once nothing came or went for so many seconds although it should have."""
        while True:
            silent = asyncio.get_running_loop().time() - self._heard
            left = limit if self.at_work else limit - silent
            if left <= 0:
                return
            await asyncio.sleep(left)

    def _started(self, _: asyncssh.SSHServerProcess[bytes]) -> None:
        # Not a coroutine: the connection would cancel it when the client goes away.
        self._start(self)

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """From the client, for git: what comes after git's end is for nobody."""
        self._heard = asyncio.get_running_loop().time()
        # uvloop raises for a closed pipe, which would cost the whole connection.
        with contextlib.suppress(RuntimeError):
            super().data_received(data, datatype)

    def eof_received(self) -> bool:
        """The client sends no more; it may learn of git's end later than we do."""
        with contextlib.suppress(RuntimeError):  # as above
            return super().eof_received()
        return True

    def feed_data(self, data: bytes, datatype: int | None) -> None:
        """To the client."""
        self._heard = asyncio.get_running_loop().time()
        if not self.gone.is_set():
            with contextlib.suppress(OSError):  # a channel closes in several steps
                super().feed_data(data, datatype)

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is closed, by whomever."""
        self.gone.set()
        super().connection_lost(exc)

    async def shown(self, limit: float) -> None:
        """Returns once all that git said is on its way, or the client is gone, or stalls."""
        self.at_work = False
        self._heard = asyncio.get_running_loop().time()
        await first(self._drained(), self.gone.wait(), self.stalled(limit))

    async def _drained(self) -> None:
        with contextlib.suppress(OSError, asyncssh.Error):  # nobody hears it any more
            await self.stdout.drain()
            await self.stderr.drain()

    async def finish(self, code: int, *, out: bytes = b"", err: bytes = b"") -> None:
        """Say the last words and end with an exit code; a client that is gone hears nothing."""
        try:
            if out:
                self.channel.write(out)
            if err:
                self.channel.write(err, EXTENDED_DATA_STDERR)
            self.exit(code)
        except OSError:
            return
        await self.wait_closed()
