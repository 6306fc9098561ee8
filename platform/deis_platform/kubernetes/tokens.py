"""The bearer token of this moment: read again when its time is over, or once it was refused."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

AGAIN_SECONDS = 5.0
"""After which a token that could not be read is tried again; the last one stands meanwhile."""


class Unreadable(Exception):
    """A token cannot be read; the text holds nothing of it."""


class Credential(NamedTuple):
    """A token, and for how many seconds it need not be read again."""

    token: str
    seconds: float = math.inf


class Token:
    """Reads when asked; however many ask at once, it reads once."""

    def __init__(self, read: Callable[[], Awaitable[Credential]]) -> None:
        self._read = read
        self._held: Credential | None = None
        self._until = -math.inf
        self._reading = asyncio.Lock()

    async def now(self) -> Credential:
        """The token to use. Raises Unreadable as long as there was never one."""
        if self._held is None or time.monotonic() >= self._until:
            return await self._again(self._held)
        return self._held

    async def instead_of(self, refused: Credential) -> Credential:
        """The token to use after a 401, read now unless another call has read it since."""
        return await self._again(refused)

    async def _again(self, used: Credential | None) -> Credential:
        async with self._reading:
            # A read makes a new Credential, if only of the same words: whoever waited here for
            # the read of another one sees that.
            if self._held is not None and self._held is not used:
                return self._held
            try:
                self._held = await self._read()
                self._until = time.monotonic() + self._held.seconds
            except Unreadable:
                if self._held is None:
                    raise
                self._until = time.monotonic() + AGAIN_SECONDS
            return self._held


def fixed(token: str) -> Token:
    """A token that never changes; empty: none."""

    async def read() -> Credential:
        return Credential(token)

    return Token(read)
