"""`deis-platform up` to its first answered API request: first start and warm start.

    python -m integration.bench.start

The baseline is what the servers take alone: PostgreSQL (with initdb the first time) and NATS,
started side by side through the same code, until both answer.
"""

import asyncio
import contextlib
import tempfile
import time
from pathlib import Path

from integration.bench.figures import line
from integration.platform_up import start, stop, wait_ready
from integration.servers import nats_server, postgres_server

FIRST_RUNS = 3
WARM_RUNS = 3
FIRST_REACH = 5.0
WARM_REACH = 2.0


async def ours(data: Path) -> float:
    """Seconds until `up` has seen its API answer (it asks through the router) and said so."""
    began = time.monotonic()
    process = await start(data)
    try:
        await wait_ready(process, data)
        return time.monotonic() - began
    finally:
        await stop(process)


async def bare(folder: Path) -> float:
    """Seconds until PostgreSQL and NATS answer."""
    began = time.monotonic()
    async with contextlib.AsyncExitStack() as stack:
        await asyncio.gather(
            stack.enter_async_context(postgres_server(folder)),
            stack.enter_async_context(nats_server(folder)),
        )
        return time.monotonic() - began


def _folder(path: Path) -> Path:
    path.mkdir(mode=0o711)
    path.chmod(0o711)
    return path


async def measure(folder: Path) -> None:
    """Both in turn, new folders for the first starts, the last ones again for the warm starts."""
    first, first_bare, warm, warm_bare = [], [], [], []
    place = folder
    for number in range(FIRST_RUNS):
        place = _folder(folder / f"bare{number}")
        first_bare.append(await bare(place))
        first.append(await ours(folder / f"data{number}"))
    last = FIRST_RUNS - 1
    for _ in range(WARM_RUNS):
        warm_bare.append(await bare(place))
        warm.append(await ours(folder / f"data{last}"))
    note = "baseline: PostgreSQL and NATS alone, started side by side"
    line("first `up` to the first API answer", "s", first, base=first_bare,
         reach=f"< {FIRST_REACH:g} s", met=sorted(first)[len(first) // 2] < FIRST_REACH,
         note=note)  # fmt: skip
    line("warm `up` to the first API answer", "s", warm, base=warm_bare,
         reach=f"< {WARM_REACH:g} s", met=sorted(warm)[len(warm) // 2] < WARM_REACH,
         note=note)  # fmt: skip


def main() -> None:
    """Measure."""
    with tempfile.TemporaryDirectory(prefix="deis-") as folder:
        Path(folder).chmod(0o711)
        asyncio.run(measure(Path(folder)))


if __name__ == "__main__":
    main()
