"""Prometheus metrics, one registry per service: in `up` several services share a process."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import TypeVar

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from deis_bus.counts import Counts
from deis_platform.runner import wait_for_stop

M = TypeVar("M")
PREFIX = "deis_"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
LAG_SECONDS = 0.5


class Metrics:
    """A service's metrics. Asking twice for a name gives the same metric.

    Names get the prefix `deis_`; units belong into them (`_seconds`, `_bytes`, `_total`).
    """

    def __init__(self, service: str) -> None:
        self.service = service
        self._registry = CollectorRegistry()
        self._made: dict[str, Counter | Gauge | Histogram] = {}
        ProcessCollector(registry=self._registry)

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:  # noqa: A002
        """Something that only grows."""
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = Counter(PREFIX + name, help, labels, registry=self._registry)
        return _checked(made, Counter, name)

    def gauge(self, name: str, help: str, labels: Sequence[str] = ()) -> Gauge:  # noqa: A002
        """Something that goes up and down."""
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = Gauge(PREFIX + name, help, labels, registry=self._registry)
        return _checked(made, Gauge, name)

    def seconds(self, name: str, help: str, labels: Sequence[str] = ()) -> Histogram:  # noqa: A002
        """How long something takes; the name should end with `_seconds`."""
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = Histogram(
                PREFIX + name, help, labels, registry=self._registry, buckets=SECONDS
            )
        return _checked(made, Histogram, name)

    def watch(self, counts: Counts) -> None:
        """Show what went wrong on a bus, as `deis_bus_…_total`."""
        self._registry.register(_BusCounts(counts))

    def text(self) -> bytes:
        """All of them, in Prometheus' text format."""
        return generate_latest(self._registry)


class _BusCounts(Collector):
    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Read when Prometheus asks."""
        for name, value in msgspec.structs.asdict(self._counts).items():
            yield CounterMetricFamily(f"{PREFIX}bus_{name}", f"{name} of the bus", value=value)


class LoopLag:
    """A part: how late the event loop is, as `deis_loop_lag_seconds`, so that no peak is lost."""

    name = "loop lag"

    def __init__(self, metrics: Metrics) -> None:
        self._lag = metrics.seconds("loop_lag_seconds", "how late the event loop runs what is due")

    async def run(self, stop: asyncio.Event) -> None:
        """Measure twice a second."""
        clock = asyncio.get_running_loop()
        while True:
            due = clock.time() + LAG_SECONDS
            if await wait_for_stop(stop, LAG_SECONDS):
                return
            self._lag.observe(max(0.0, clock.time() - due))


def _checked(made: object, kind: type[M], name: str) -> M:
    if not isinstance(made, kind):
        raise TypeError(f"{name} is another kind of metric already")
    return made
