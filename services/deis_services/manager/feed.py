"""The feed of newest versions: a JSON object by component, out of a file or from a URL.

    {"workflow": "0.2.0", "router": "0.2.1"}

Nothing is sent; without a feed nothing is asked either.
"""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import aiohttp
import msgspec

from deis_platform.logs import get_logger
from deis_platform.runner import wait_for_stop

log = get_logger(__name__)

MAX_BYTES = 1024 * 1024
SECONDS = 30.0
AGAIN_SECONDS = 300.0
VERSION = re.compile(r"v?[0-9]{1,6}(\.[0-9]{1,6}){0,3}(-[A-Za-z0-9.]{1,32})?")


class BadFeed(Exception):
    """The feed cannot be read; the text says why."""


class Feed:
    """A part: `latest` is what the feed said when it could be read last."""

    name = "feed"

    def __init__(self, source: str, seconds: float) -> None:
        self.latest: dict[str, str] = {}
        self.listeners: list[Callable[[], None]] = []
        """They hear that it was read."""
        self._source = source
        self._seconds = seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Read it now and again until stopped; nothing to do without one."""
        while self._source:
            pause = self._seconds
            try:
                self.latest = parse(await self._read())
                for listener in self.listeners:
                    listener()
            except (BadFeed, aiohttp.ClientError, OSError, TimeoutError) as fault:
                log.warning("the feed of versions cannot be read", fault=str(fault))
                pause = min(pause, AGAIN_SECONDS)
            if await wait_for_stop(stop, pause):
                return
        await stop.wait()

    async def _read(self) -> bytes:
        if not self._source.startswith(("http://", "https://")):
            path = Path(self._source.removeprefix("file://"))
            return await asyncio.to_thread(_head, path)
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(self._source) as answer,
        ):
            if answer.status != 200:
                raise BadFeed(f"it answered {answer.status}")
            raw = b""
            # One read gives what has come so far, which may be a part of it.
            async for chunk in answer.content.iter_any():
                raw += chunk
                if len(raw) > MAX_BYTES:
                    break
            return raw


def parse(raw: bytes) -> dict[str, str]:
    """Versions by component. Raises BadFeed."""
    if len(raw) > MAX_BYTES:
        raise BadFeed("it is too large")
    try:
        found = msgspec.json.decode(raw, type=dict[str, str])
    except msgspec.MsgspecError as fault:
        raise BadFeed(f"it is no JSON object of versions: {fault}") from None
    wrong = next((name for name, text in found.items() if not VERSION.fullmatch(text)), None)
    if wrong is not None:
        raise BadFeed(f"{wrong!r} has no version")
    return found


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)
