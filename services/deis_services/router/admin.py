"""The door to nginx' shared memory: HTTP over a unix socket that only we can reach."""

import asyncio
import contextlib
import os
from pathlib import Path

import msgspec

from deis_services.router import wire

MAX_PATH = 100
"""Bytes of a unix socket's path that every system takes."""
ANSWER_SECONDS = 10.0


class AdminFailed(Exception):
    """nginx is not there, or did not take what it was sent."""


class AdminSocket:
    """Sends pieces of the table over one kept connection; one request at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def apply(self, piece: wire.Piece) -> None:
        """Everything of the piece is in force on return. Raises AdminFailed."""
        for part in wire.pieces(piece):
            await self._ask("POST", "/apply", msgspec.json.encode(part))

    async def generation(self) -> str:
        """Which configuration answers. Raises AdminFailed."""
        self.close()
        return await self._ask("GET", "/generation", b"")

    def close(self) -> None:
        """Drop the connection; the next request opens another one."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _ask(self, method: str, path: str, body: bytes) -> str:
        async with self._lock:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    return await self._exchange(method, path, body)
            except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as fault:
                self.close()
                raise AdminFailed(f"{path}: {fault}") from fault
            except BaseException:
                self.close()
                raise

    async def _exchange(self, method: str, path: str, body: bytes) -> str:
        """Over a new connection where nginx has closed the kept one, as it does after a silence.

        Everything that is asked may be asked twice.
        """
        if self._streams is not None:
            with contextlib.suppress(EOFError, ConnectionError):
                return await self._over(*self._streams, method, path, body)
            self.close()
        return await self._over(*await self._connect(), method, path, body)

    async def _over(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        method: str,
        path: str,
        body: bytes,
    ) -> str:
        head = f"{method} {path} HTTP/1.1\r\nHost: admin\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        text = (await reader.readexactly(int(headers["content-length"]))).decode()
        if headers.get("connection") == "close":
            self.close()
        if " 200 " not in status:
            raise ValueError(f"{status}: {text.strip()[:200]}")
        return text

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if len(os.fsencode(self._path)) <= MAX_PATH:
            self._streams = await asyncio.open_unix_connection(str(self._path))
            return self._streams
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:  # a short name for a folder that lies deep
            short = f"/proc/self/fd/{folder}/{self._path.name}"
            self._streams = await asyncio.open_unix_connection(short)
        finally:
            os.close(folder)
        return self._streams
