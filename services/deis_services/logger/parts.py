"""The logger's parts on a bus, put together; `service` and the tests run these."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from deis_bus.consumer import Consumer, Delivered
from deis_bus.contracts.logs import (
    DROP,
    FOLLOW,
    HEARD,
    TAIL,
    Drop,
    Follow,
    Heard,
    Lines,
    Tail,
)
from deis_bus.contracts.push import APPS_ALIVE, AppsAlive
from deis_bus.errors import Refused, Transient
from deis_bus.events.apps import AppDestroyed
from deis_bus.ports import Bus
from deis_bus.rpc import Context, Empty, Handler, Method, call
from deis_bus.streams import EVENTS, Durable
from deis_platform.logs import bound, get_logger
from deis_platform.metrics import Metrics
from deis_platform.retry import delays
from deis_platform.runner import Part, wait_for_stop
from deis_services.logger.collect import Collector
from deis_services.logger.follow import Followers
from deis_services.logger.parse import wanted
from deis_services.logger.ring import Rings
from deis_services.logger.settings import Settings

log = get_logger(__name__)

DURABLE = Durable(name="logger", stream=EVENTS.name, filters=(f"deis.event.*.{AppDestroyed.TYPE}",))
"""Shared by the replicas: one hears of a destroyed application, the others by `Sweep`."""
ANSWER_BYTES = 4 * 1024 * 1024
"""Of one tail, as it travels; a message holds 8 MB."""
SWEEP_SECONDS = 60.0
SWEEP_PAGE = 500


class Logger:
    """Rings and followers of one replica."""

    def __init__(self, bus: Bus, settings: Settings) -> None:
        self.rings = Rings(
            lines=settings.lines,
            line_bytes=settings.line_bytes,
            total_bytes=settings.memory_bytes,
        )
        self.followers = Followers(self.rings, bus.open_stream, settings.followers)
        self.collector = Collector(bus, (self,))
        self._bus = bus

    def take(self, appuuid: str, lines: list[bytes]) -> None:
        """New lines: kept, and given to those who follow."""
        self.followers.take(appuuid, self.rings.add(appuuid, lines))

    def forget(self, appuuid: str) -> None:
        """An application is gone, with its lines and followers."""
        self.rings.drop(appuuid)
        self.followers.end(appuuid)

    def parts(self) -> list[Part]:
        """Everything that runs."""
        return [
            self.collector,
            self.followers,
            Consumer(self._bus, DURABLE, {AppDestroyed: self._destroyed}, "events"),
            Sweep(self._bus, self),
        ]

    def handlers(self) -> dict[Method[Any, Any], Handler]:
        """What it answers."""
        return {
            TAIL: self._tail,
            FOLLOW: self._follow,
            DROP: self._drop,
            HEARD: self._heard,
        }

    async def _tail(self, question: Tail, _: Context) -> Lines:
        only = wanted(question.process_type, question.instance)
        found = self.rings.tail(question.appuuid, question.lines, only)
        return fitting(found)

    async def _follow(self, question: Follow, _: Context) -> Empty:
        try:
            await self.followers.follow(question)
        except ValueError as fault:
            raise Refused(400, str(fault)) from fault
        return Empty()

    async def _drop(self, question: Drop, _: Context) -> Empty:
        self.forget(question.appuuid)
        return Empty()

    async def _heard(self, question: Heard, _: Context) -> Empty:
        await self.collector.heard(question.spans)
        return Empty()

    async def _destroyed(self, _: AppDestroyed, delivered: Delivered) -> None:
        with bound(event=delivered.envelope.type, app=delivered.envelope.subject):
            self.forget(delivered.envelope.appuuid)


class Sweep:
    """A part: asks which of the applications still are, at the start and every minute."""

    name = "sweep"

    def __init__(self, bus: Bus, logger: Logger) -> None:
        self._bus = bus
        self._logger = logger

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep until stopped; waits while nobody can tell."""
        pauses = delays(ceiling=SWEEP_SECONDS)
        while not stop.is_set():
            try:
                await self.once()
            except (Transient, Refused) as fault:
                log.debug("nobody tells which applications are", fault=str(fault))
                await wait_for_stop(stop, next(pauses))
            else:
                pauses = delays(ceiling=SWEEP_SECONDS)
                await wait_for_stop(stop, SWEEP_SECONDS)

    async def once(self) -> None:
        """Forget what is gone. An application is committed before its first line is written, so
        whose lines were here before the question is missing in the answer only when it is gone."""
        kept = self._logger.rings.appuuids()
        for start in range(0, len(kept), SWEEP_PAGE):
            page = tuple(kept[start : start + SWEEP_PAGE])
            alive = set((await call(self._bus, APPS_ALIVE, AppsAlive(page))).appuuids)
            for appuuid in page:
                if appuuid not in alive:
                    self._logger.forget(appuuid)


def fitting(lines: list[bytes]) -> Lines:
    """The lines as an answer, without the oldest where all of them do not fit into a message."""
    while True:
        answer = Lines("".join(f"{line.decode(errors='replace')}\n" for line in lines))
        if len(msgspec.json.encode(answer)) <= ANSWER_BYTES:
            return answer
        lines = lines[(len(lines) + 1) // 2 :]


class Figures:
    """A part: the logger's numbers as metrics, once a second."""

    name = "figures"

    def __init__(self, logger: Logger, bus: Bus, metrics: Metrics) -> None:
        read: dict[tuple[str, str], Callable[[], int]] = {
            ("log_lines", "lines taken since the start"): lambda: logger.collector.lines,
            ("log_bytes", "memory of the lines kept"): lambda: logger.rings.size,
            ("log_apps", "applications with lines"): lambda: len(logger.rings.appuuids()),
            ("log_followers", "logs followed now"): lambda: len(logger.followers),
            ("log_evicted_lines", "given up for the limit"): lambda: logger.rings.evicted,
            ("log_unread_lines", "lost by slow followers"): lambda: logger.followers.lost,
            ("log_refused_batches", "without identity"): lambda: logger.collector.refused,
            ("log_doubled_lines", "sent again, not taken again"): (
                lambda: logger.collector.seen.doubles
            ),
            ("log_lost_batches", "dropped by the bus"): lambda: bus.counts.slow_consumers,
        }
        self._read = [(metrics.gauge(*named), number) for named, number in read.items()]

    async def run(self, stop: asyncio.Event) -> None:
        """Keep them up to date until stopped."""
        while True:
            for gauge, number in self._read:
                gauge.set(number())
            if await wait_for_stop(stop, 1.0):
                return
