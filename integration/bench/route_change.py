"""From a change in bucket ROUTES to the first request served by it, with 10,000 routes.

    python -m integration.bench.route_change

The baseline is what nginx takes by itself: a reload of the same configuration until a new worker
answers, which is what the change would cost were routes configuration text.
"""

import asyncio
import os
import signal
import tempfile
import time
from pathlib import Path

import msgspec

from integration.bench.figures import line
from integration.bench.requests import ROUTES, fill
from integration.router_rig import Instance, Rig, eventually, plan, running, upstreams

CHANGES = 200
RELOADS = 10
REACH_MS = 50.0


async def change(rig: Rig, instance: Instance) -> float:
    """Milliseconds until a request is answered by this instance."""
    start = time.perf_counter()
    rig.tell("up.asked", msgspec.json.encode(upstreams("asked", instance)))
    while (await rig.get("asked.localhost"))[1]["name"] != instance.name:
        pass
    return (time.perf_counter() - start) * 1000


async def reload(rig: Rig) -> float:
    """Milliseconds from HUP until a new worker answers, by its connections' first reply."""
    before = set(rig.workers())
    start = time.perf_counter()
    os.kill(rig.master(), signal.SIGHUP)
    await eventually(lambda: bool(set(rig.workers()) - before))
    await rig.get("asked.localhost")
    return (time.perf_counter() - start) * 1000


async def measure(folder: Path) -> None:
    """Print the figures."""
    planned = plan(folder / "router", ports=range(10_000, 20_000), files=4096)
    async with (
        running(planned) as rig,
        Instance("one", planned.layout.ports[-2]) as one,
        Instance("two", planned.layout.ports[-1]) as two,
    ):
        start = time.perf_counter()
        await fill(rig, [one.port, two.port])
        loaded = (time.perf_counter() - start) * 1000
        await change(rig, two)
        times = [await change(rig, (one, two)[number % 2]) for number in range(CHANGES)]
        reloads = [await reload(rig) for _ in range(RELOADS)]
    times.sort()
    line(
        "route change, entry to first request served", "ms", times,
        reach=f"< {REACH_MS:g} ms", met=times[len(times) // 2] < REACH_MS,
        note=f"{ROUTES} routes; p99 {times[int(len(times) * 0.99)]:.1f} ms",
    )  # fmt: skip
    line("baseline: reload of nginx to its new worker", "ms", reloads, note="no routes as text")
    line(f"{ROUTES} routes changed and in force", "ms", [loaded], reach="< 1000 ms",
         met=loaded < 1000)  # fmt: skip


def main() -> None:
    """Measure."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        asyncio.run(measure(Path(folder)))


if __name__ == "__main__":
    main()
