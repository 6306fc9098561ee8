"""Metrics of a service, and how late its loop is."""

import asyncio
import time

import pytest

from deis_bus.counts import Counts
from deis_platform.metrics import LoopLag, Metrics
from tests.behaviour.bus import until


def value(metrics: Metrics, name: str) -> float:
    """The value of a line without labels."""
    lines = metrics.text().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def test_asking_twice_gives_the_same() -> None:
    metrics = Metrics("test")
    metrics.counter("a_total", "a").inc()
    metrics.counter("a_total", "a").inc()
    metrics.gauge("b", "b").set(7)
    metrics.seconds("c_seconds", "c").observe(0.02)
    assert value(metrics, "deis_a_total") == 2
    assert value(metrics, "deis_b") == 7
    assert value(metrics, "deis_c_seconds_sum") == pytest.approx(0.02)
    with pytest.raises(TypeError, match="another kind"):
        metrics.gauge("a_total", "a")


def test_services_of_one_process_do_not_meet() -> None:
    one, two = Metrics("one"), Metrics("two")
    one.counter("a_total", "a").inc()
    two.counter("a_total", "a")
    assert (value(one, "deis_a_total"), value(two, "deis_a_total")) == (1, 0)


def test_what_went_wrong_on_the_bus_is_shown_as_it_is_now() -> None:
    metrics, counts = Metrics("test"), Counts()
    metrics.watch(counts)
    counts.disconnects = 2
    assert value(metrics, "deis_bus_disconnects_total") == 2
    assert value(metrics, "deis_bus_buried_total") == 0


async def test_a_loop_that_was_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deis_platform.metrics.LAG_SECONDS", 0.01)
    metrics, stop = Metrics("test"), asyncio.Event()
    task = asyncio.create_task(LoopLag(metrics).run(stop))
    await asyncio.sleep(0)
    time.sleep(0.2)  # noqa: ASYNC251 - this is what is measured
    await until(lambda: value(metrics, "deis_loop_lag_seconds_sum") > 0.1)
    stop.set()
    await task
