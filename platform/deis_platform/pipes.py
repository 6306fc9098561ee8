"""Pipes and terminals as transports, each descriptor closed exactly once whatever the loop.

uvloop closes a pipe's descriptor itself and then closes the file object it was given, which by
then may own somebody else's descriptor (MagicStack/uvloop#763); asyncio's own loop closes the
file object only. So the object that is handed over owns the descriptor on one and not on the other.
"""

import asyncio
import os
from collections.abc import Callable
from typing import IO, TypeVar

P = TypeVar("P", bound=asyncio.BaseProtocol)


async def read_pipe(factory: Callable[[], P], descriptor: int) -> tuple[asyncio.ReadTransport, P]:
    """A transport that reads; it owns the descriptor from now on. Raises OSError, ValueError."""
    loop = asyncio.get_running_loop()
    return await loop.connect_read_pipe(factory, pipe_file(descriptor, "rb"))


async def write_pipe(factory: Callable[[], P], descriptor: int) -> tuple[asyncio.WriteTransport, P]:
    """A transport that writes; it owns the descriptor from now on. Raises OSError, ValueError."""
    loop = asyncio.get_running_loop()
    return await loop.connect_write_pipe(factory, pipe_file(descriptor, "wb"))


def pipe_file(descriptor: int, mode: str) -> IO[bytes]:
    """What to hand to a library that makes a transport of it, in the running loop."""
    closes_by_itself = type(asyncio.get_running_loop()).__module__.startswith("uvloop")
    return os.fdopen(descriptor, mode, 0, closefd=not closes_by_itself)
