"""Build workers: take what is queued, a bounded number at a time (DESIGN 5, A push, 3)."""

import asyncio
import time

import structlog

from deis_bus.clock import new_id
from deis_bus.contracts.push import BUILD_TAKE, BuildTake, BuildTask
from deis_bus.errors import Refused, Transient
from deis_bus.rpc import call
from deis_platform.metrics import Metrics
from deis_platform.races import unless
from deis_services.builder.attempt import Attempt, Workshop

log = structlog.get_logger(__name__)

TAKE_SECONDS = 10.0


class BuildWorkers:
    """A part: `at_once` builds in parallel; `wake` says that there may be work."""

    name = "build workers"

    def __init__(self, shop: Workshop, at_once: int, poll_seconds: float, metrics: Metrics) -> None:
        self._shop = shop
        self._poll_seconds = poll_seconds
        self._slots = asyncio.Semaphore(at_once)
        self._woken = asyncio.Event()
        self._name = f"worker-{new_id()}"
        self._running = metrics.gauge("builds_running", "builds that run now")
        self._ended = metrics.counter("builds_total", "builds that ended here", ("how",))
        self._seconds = metrics.seconds("build_seconds", "how long a build took")

    def wake(self) -> None:
        """Look for work now."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Take and build until stopped. A build that runs then is left: its lease runs out and
        another worker does it anew, since a builder that stops has seconds, not minutes."""
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                await unless(stop, self._slots.acquire())
                if stop.is_set():
                    return
                self._woken.clear()
                task = await self._take()
                if task.push:
                    group.create_task(self._build(task, stop))
                else:
                    self._slots.release()
                    await unless(stop, self._woken.wait(), self._poll_seconds)

    async def _take(self) -> BuildTask:
        """The next task; an empty one when there is none, or nobody to ask."""
        try:
            asked = BuildTake(worker=self._name)
            return await call(self._shop.bus, BUILD_TAKE, asked, seconds=TAKE_SECONDS)
        except (Transient, Refused) as fault:
            log.info("no work can be taken now", fault=str(fault))
            return BuildTask()

    async def _build(self, task: BuildTask, stop: asyncio.Event) -> None:
        began = time.monotonic()
        self._running.inc()
        how = "broken"
        with structlog.contextvars.bound_contextvars(app=task.app, push=task.push):
            log.info("build begins", attempt=task.attempt, number=task.number)
            try:
                how = await Attempt(self._shop, task, self._name).run(stop)
            except Exception as fault:
                # One build's bug must not end the others; its lease runs out.
                log.exception("a build broke", fault=f"{type(fault).__name__}: {fault}")
            finally:
                self._slots.release()
                self._running.dec()
            seconds = time.monotonic() - began
            self._ended.labels(how).inc()
            self._seconds.observe(seconds)
            log.info("build ended", how=how, seconds=round(seconds, 2))
