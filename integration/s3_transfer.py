"""A process that puts and gets one big object, and says how much memory that took.

python s3_transfer.py BYTES     # the store by the environment, as services get it
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from deis_platform.groups import ObjectsSettings
from deis_platform.objects import ObjectStore, open_objects
from deis_platform.runner import new_loop
from deis_platform.settings import load

CHUNK = 200_000


async def main(size: int) -> None:
    """Prints it as JSON; peaks are of resident memory, in bytes."""
    async with open_objects(load(ObjectsSettings, os.environ)) as store:
        await _there_and_back(store, 1)  # whatever is loaded late is loaded now
        before = _peak()
        info, got = await _there_and_back(store, size)
        print(json.dumps({"put": info, "got": got, "peak_before": before, "peak_after": _peak()}))
        await store.delete("big")


async def _there_and_back(store: ObjectStore, size: int) -> tuple[int, int]:
    info, got = await store.put("big", _source(size)), 0
    async with store.get("big") as (_, chunks):
        async for chunk in chunks:
            got += len(chunk)
    return info.size, got


async def _source(size: int) -> AsyncIterator[bytes]:
    """Fresh bytes each time, so that keeping them shows."""
    while size:
        chunk = os.urandom(min(size, CHUNK))
        size -= len(chunk)
        yield chunk


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main(int(sys.argv[1])))
