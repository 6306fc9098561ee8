"""Commit of a transaction to its event at a subscriber.

    python -m integration.bench.event_latency

The relay runs on a real database and a real JetStream; the subscriber is a core subscription, as
the gateway has one. The baseline publishes straight into the same stream: what the bus alone takes.
"""

import asyncio
import tempfile
import time
from pathlib import Path

from deis_bus import codec, subjects
from deis_bus.envelope import Envelope
from deis_bus.events.releases import ReleaseCreated
from deis_bus.ports import Bus
from deis_bus.streams import BUCKETS, STREAMS
from deis_platform.buses import open_bus
from deis_platform.database import Database, open_database
from deis_platform.events import EVENTS_DDL, EventRelay, announce
from deis_platform.groups import BusSettings, DatabaseSettings
from integration.bench.figures import line
from integration.servers import nats_server, postgres_server

COMMITS = 500
REACH_MS = 10.0
SUBJECT = subjects.event("blog", "release.created")
EVENT = ReleaseCreated(version=2, summary="ada deployed 4f0a2b1", config="c", build="b")


async def ours(db: Database, arrived: asyncio.Queue[float]) -> float:
    """Milliseconds from the start of the commit to the event's arrival."""
    async with db.transaction() as tx:
        await announce(tx, app="blog", appuuid="blog-1", event=EVENT)
        committing = time.perf_counter()
    return (await arrived.get() - committing) * 1000


async def bare(bus: Bus, arrived: asyncio.Queue[float], number: int) -> float:
    """Milliseconds from a publish into the stream to its arrival."""
    envelope = Envelope(
        id=f"bare-{number}", type=EVENT.TYPE, source="bench", time="2026-01-01T00:00:00Z"
    )
    began = time.perf_counter()
    await bus.publish(SUBJECT, envelope, codec.encode(EVENT))
    return (await arrived.get() - began) * 1000


async def measure(folder: Path) -> None:
    """In turn, one at a time."""
    async with (
        postgres_server(folder) as postgres,
        nats_server(folder) as nats,
        open_database(
            DatabaseSettings(url=postgres.url, password_file=str(postgres.password_file))
        ) as db,
        open_bus(BusSettings(url=nats.url), "controller") as bus,
        open_bus(BusSettings(url=nats.url), "gateway") as hearing,
    ):
        await bus.ensure(STREAMS, BUCKETS)
        async with db.transaction() as tx:
            for statement in filter(str.strip, EVENTS_DDL.split(";")):
                await tx.execute(statement)
        stop = asyncio.Event()
        arrived: asyncio.Queue[float] = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            group.create_task(EventRelay(db, bus).run(stop))
            listening = group.create_task(listen(hearing, arrived))
            times, base = [], []
            await ours(db, arrived)
            for number in range(COMMITS):
                base.append(await bare(bus, arrived, number))
                times.append(await ours(db, arrived))
            stop.set()
            listening.cancel()
    ordered = sorted(times)
    line("commit to its event at a subscriber", "ms", times, base=base,
         reach=f"p50 < {REACH_MS:g} ms", met=ordered[len(ordered) // 2] < REACH_MS,
         note=f"p99 {ordered[len(ordered) * 99 // 100]:.1f} ms;"
              " baseline: a publish straight into the stream")  # fmt: skip


async def listen(bus: Bus, arrived: asyncio.Queue[float]) -> None:
    """When each event came."""
    async with bus.subscribe(SUBJECT) as messages:
        async for _ in messages:
            arrived.put_nowait(time.perf_counter())


def main() -> None:
    """Measure."""
    import uvloop

    with tempfile.TemporaryDirectory(prefix="deis-") as folder:
        Path(folder).chmod(0o711)
        uvloop.run(measure(Path(folder)))


if __name__ == "__main__":
    main()
