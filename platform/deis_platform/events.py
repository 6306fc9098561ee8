"""Events are rows first (DESIGN 4): written with the state they tell of, published afterwards.

`announce` writes a row in the caller's transaction. One `EventRelay` on all replicas publishes
unsent rows; the others stand by. Rows of one application go out in the order of their commits,
because whoever writes one holds the application's row; across applications no order is promised.
"""

import asyncio
import datetime
import uuid
from collections.abc import Iterable
from typing import Any

from deis_bus import codec, subjects
from deis_bus.envelope import Envelope
from deis_bus.errors import BusError, Transient
from deis_bus.events import Event
from deis_bus.ports import Bus
from deis_bus.streams import EVENTS
from deis_platform.database import Database, Dedicated, Transaction
from deis_platform.logs import get_logger
from deis_platform.retry import delays
from deis_platform.runner import wait_for_stop

log = get_logger(__name__)

EVENTS_DDL = """
CREATE TABLE events (
    seq           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id            uuid NOT NULL UNIQUE,
    type          text NOT NULL,
    version       integer NOT NULL DEFAULT 1,
    app           text NOT NULL,
    appuuid       text NOT NULL DEFAULT '',
    actor         text NOT NULL DEFAULT '',
    traceparent   text NOT NULL DEFAULT '',
    correlationid text NOT NULL DEFAULT '',
    causationid   text NOT NULL DEFAULT '',
    source        text NOT NULL DEFAULT 'controller',
    data          bytea NOT NULL,
    created       timestamptz NOT NULL DEFAULT clock_timestamp(),
    sent          timestamptz
);
CREATE INDEX events_unsent ON events (seq) WHERE sent IS NULL;
CREATE INDEX events_created ON events (created);
"""
"""The table; the controller's first migration makes it (a test compares the two)."""

CHANNEL = "deis_events"
LOCK = "deis event relay"
RESYNC_SECONDS = 2.0
BATCH = 500
AT_ONCE = 32
"""Applications published for at the same time."""
KEEP_DAYS = 30.0
PRUNE_SECONDS = 3600.0
PRUNE_ROWS = 10_000

_INSERT = """
WITH row AS (
    INSERT INTO events (id, type, version, app, appuuid, actor, traceparent, correlationid,
                        causationid, data, source)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $12)
    ON CONFLICT (id) DO NOTHING)
SELECT pg_notify($11, $5)
"""


async def announce(
    tx: Transaction,
    *,
    app: str,
    appuuid: str,
    event: Event,
    actor: str = "",
    traceparent: str = "",
    correlation: str = "",
    causation: str = "",
    event_id: str = "",
    source: str = "controller",
) -> str:
    """Write an event about an application (`_`: the platform) in this transaction; gives its id.

    The transaction must hold the application's row, so that the order of events is that of
    commits. An event that a service reported keeps its `event_id` and `source`: a second row of
    the same id is not written. Whoever listens on `CHANNEL` hears `appuuid` at the commit.
    Raises ValueError for a name that is no subject token, or an id that is no UUID.
    """
    subjects.event(app, event.TYPE)  # refused here, not by the relay long after the commit
    identity = str(uuid.UUID(event_id) if event_id else uuid.uuid4())
    await tx.execute(
        _INSERT,
        identity,
        event.TYPE,
        event.VERSION,
        app,
        appuuid,
        actor,
        traceparent,
        correlation,
        causation,
        codec.encode(event),
        CHANNEL,
        source,
    )
    return identity


async def rebuild(db: Database) -> int:
    """Have every kept event published again: EVENTS was lost. Gives how many.

    The relay does it, in order; ids stay, so what EVENTS still holds of the last two minutes is
    not doubled.
    """
    async with db.transaction() as tx:
        return await tx.execute("UPDATE events SET sent = NULL WHERE sent IS NOT NULL")


def envelope(row: Any) -> Envelope:
    """The envelope of a row of `events`."""
    time = row["created"].astimezone(datetime.UTC).isoformat(timespec="microseconds")
    return Envelope(
        id=str(row["id"]),
        type=row["type"],
        source=row["source"],
        time=time.replace("+00:00", "Z"),
        subject=row["app"],
        appuuid=row["appuuid"],
        actor=row["actor"],
        schemaversion=row["version"],
        traceparent=row["traceparent"],
        correlationid=row["correlationid"],
        causationid=row["causationid"],
    )


class EventRelay:
    """A part: publishes unsent rows while it holds the relay's lock.

    Woken by NOTIFY at each commit; looks by itself every two seconds. A crash between publish
    and mark publishes again, which the stream knows by the event's id.
    """

    name = "event relay"

    def __init__(self, db: Database, bus: Bus, keep_days: float = KEEP_DAYS) -> None:
        self.published = 0
        """Rows since the start, for metrics."""
        self._db = db
        self._bus = bus
        self._keep = datetime.timedelta(days=keep_days)
        self._epoch = ""
        self._connection = 0
        """How often the bus had come back when the stream was last checked."""
        self._last = 0
        self._pruned = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Relay, or stand by, until stopped; survives any absence of database and bus."""
        pauses = delays(ceiling=1.0)
        while not stop.is_set():
            try:
                async with self._db.dedicated() as line:
                    while not (stop.is_set() or line.lost.is_set()):
                        if await line.try_lock(LOCK):
                            await self._lead(line, stop)
                            pauses = delays(ceiling=1.0)
                        else:
                            await wait_for_stop(stop, 1.0)
            except Transient as fault:
                pause = next(pauses)
                log.warning("events wait", fault=str(fault), again_in=round(pause, 2))
                await wait_for_stop(stop, pause)

    async def _lead(self, line: Dedicated, stop: asyncio.Event) -> None:
        nudge = asyncio.Event()
        await line.listen(CHANNEL, lambda _appuuid: nudge.set())
        self._epoch, self._last = "", 0
        pauses = delays(ceiling=1.0)
        while not (stop.is_set() or line.lost.is_set()):
            nudge.clear()
            try:
                connection = self._bus.counts.reconnects
                if not self._epoch or connection != self._connection:
                    # Before anything is published: it may be another stream, which begins anew.
                    await self._check_stream()
                    self._connection = connection
                more = await self._relay()
                pauses = delays(ceiling=1.0)
            except BusError as fault:
                pause = next(pauses)
                log.warning("events wait for the bus", fault=str(fault), again_in=round(pause, 2))
                if not await wait_for_stop(stop, pause):
                    await self._tick()
                continue
            if not more and not await _heard(nudge, stop, line.lost):
                await self._tick()

    async def _tick(self) -> None:
        """Nothing was said for a while: look after stream and table."""
        try:
            await self._check_stream()
        except BusError as fault:
            log.warning("events stream is away", fault=str(fault))
        now = asyncio.get_running_loop().time()
        if not self._pruned or now - self._pruned > PRUNE_SECONDS:
            self._pruned = now
            await self._prune()

    async def _relay(self) -> bool:
        """Publish a batch; whether there may be more. Raises what made an application wait."""
        async with self._db.reading() as tx:
            rows = await tx.fetch(
                "SELECT * FROM events WHERE sent IS NULL ORDER BY seq LIMIT $1", BATCH
            )
        if not rows:
            return False
        sent: list[int] = []
        faults: list[BusError] = []
        epoch = self._epoch
        turn = asyncio.Semaphore(AT_ONCE)

        async def story(of_app: list[Any]) -> None:
            async with turn:
                try:
                    for row in of_app:
                        await self._publish(row)
                        sent.append(row["seq"])
                except BusError as fault:
                    faults.append(fault)  # the rest of this application waits behind it

        async with asyncio.TaskGroup() as group:
            for of_app in _by_app(rows):
                group.create_task(story(of_app))
        # In another stream than at the beginning nobody knows which of them it holds.
        if sent and self._epoch == epoch:
            async with self._db.reading() as tx:
                await tx.execute(
                    "UPDATE events SET sent = clock_timestamp() WHERE seq = ANY($1)", sent
                )
            self.published += len(sent)
        if faults:
            raise faults[0]
        return len(rows) == BATCH

    async def _publish(self, row: Any) -> None:
        subject = subjects.event(row["app"], row["type"])
        sequence = await self._bus.publish(subject, envelope(row), row["data"])
        if sequence < self._last - BATCH:
            # Numbers that begin anew: another stream than a moment ago, or one that was known.
            await self._check_stream()
        self._last = sequence

    async def _check_stream(self) -> None:
        """Refill EVENTS when it is another one than before, or empty although rows were sent."""
        await self._bus.ensure((EVENTS,), ())
        epoch = await self._bus.stream_epoch(EVENTS.name)
        if epoch == self._epoch:
            return
        empty = (await self._bus.stream_bounds(EVENTS.name))[1] == 0
        if empty or self._last:
            count = await rebuild(self._db)
            if count:
                log.warning("EVENTS was lost, filling it again", events=count)
        self._epoch = epoch
        self._last = 0

    async def _prune(self) -> None:
        """Rows that are older than they are kept go."""
        gone = PRUNE_ROWS
        while gone == PRUNE_ROWS:
            async with self._db.reading() as tx:
                gone = await tx.execute(
                    """DELETE FROM events WHERE seq IN (
                           SELECT seq FROM events
                           WHERE created < now() - $1::interval AND sent IS NOT NULL LIMIT $2)""",
                    self._keep,
                    PRUNE_ROWS,
                )


def _by_app(rows: Iterable[Any]) -> Iterable[list[Any]]:
    """Rows of each name together, in order: a name's next owner comes after the one before."""
    stories: dict[str, list[Any]] = {}
    for row in rows:
        stories.setdefault(row["app"], []).append(row)
    return stories.values()


async def _heard(nudge: asyncio.Event, stop: asyncio.Event, lost: asyncio.Event) -> bool:
    """Wait for any of them or the resync; False when it was the resync."""
    waits = [asyncio.ensure_future(event.wait()) for event in (nudge, stop, lost)]
    try:
        done, _ = await asyncio.wait(
            waits, timeout=RESYNC_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        for task in waits:
            task.cancel()
    return bool(done)
