"""What is put, in parts of one size: one buffer per object, whatever its size."""

import asyncio
import base64
import hashlib
import io
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from typing import Any

from deis_platform.objects.port import TooLarge

PART_BYTES = 8 * 1024 * 1024
"""Of a multipart upload; what is smaller goes in one request. At least 5 MiB by S3's rules, and
all but the last alike by those of some servers."""


async def parts_of(
    chunks: AsyncIterator[bytes], max_bytes: int
) -> AsyncGenerator[io.BytesIO, None]:
    """The source in whole parts; only the last one may be shorter, or empty.

    It is the same buffer each time, filled anew when the next one is asked for. Raises TooLarge
    past `max_bytes` (0: no limit).
    """
    part, size = io.BytesIO(), 0
    async for chunk in chunks:
        size += len(chunk)
        if max_bytes and size > max_bytes:
            raise TooLarge(f"more than {max_bytes} bytes")
        rest = memoryview(chunk)
        while rest:
            taken = rest[: PART_BYTES - part.tell()]
            part.write(taken)
            rest = rest[len(taken) :]
            if part.tell() == PART_BYTES:
                yield part
                part.seek(0)
                part.truncate()
    yield part


def size_of(part: io.BytesIO) -> int:
    """Bytes in it."""
    return part.getbuffer().nbytes


async def body_of(part: io.BytesIO) -> dict[str, Any]:
    """The fields of a request that sends it, with the sum that the server checks."""

    def md5() -> bytes:
        with part.getbuffer() as content:
            return hashlib.md5(content, usedforsecurity=False).digest()

    digest = await asyncio.to_thread(md5)
    part.seek(0)
    return {"Body": part, "ContentMD5": base64.b64encode(digest).decode()}


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Run it though the caller is cancelled, who hears of that afterwards."""
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as fault:
            cancelled = fault
    task.result()
    if cancelled:
        raise cancelled
