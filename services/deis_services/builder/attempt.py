"""One attempt at one build: a task of the runtime port, its output, its result (DESIGN 5, 3)."""

import asyncio
import contextlib
import time
import uuid

import msgspec
import structlog

from deis_bus import subjects
from deis_bus.clock import new_id, timestamp
from deis_bus.codec import encode
from deis_bus.contracts.push import BuildTask, PushRenew
from deis_bus.contracts.runtime import BuildJoin, BuildRun
from deis_bus.envelope import Envelope
from deis_bus.errors import BusError, Refused, StreamClosed, Transient
from deis_bus.events.builds import BuildDone, BuildFailed
from deis_bus.ports import Bus, ByteStream
from deis_platform.artifacts import PATH, sign
from deis_platform.objects import NoObject, ObjectStore
from deis_platform.retry import delays
from deis_platform.runtime.port import BuildRuntime
from deis_services.builder import lease
from deis_services.builder.buildlog import OutputLog
from deis_services.builder.result import MAX_RESULT, SlugResult, Unusable, read_result, words

log = structlog.get_logger(__name__)

MARGIN_SECONDS = 30.0
"""By which the runtime's own limit is longer than ours."""
TOKEN_SECONDS = 600.0
"""For how long after its limit a build's tokens still open."""
STOP_SECONDS = 5.0


class Workshop(msgspec.Struct, frozen=True, kw_only=True):
    """What every build needs."""

    bus: Bus
    runtime: BuildRuntime
    objects: ObjectStore
    artifacts_url: str
    key: bytes
    """Signs capability tokens (deis_platform.artifacts)."""


class Attempt:
    """One attempt, from the lease to the report."""

    def __init__(self, shop: Workshop, task: BuildTask, worker: str) -> None:
        self._shop = shop
        self._task = task
        self._id = f"{task.push}-{task.attempt}"
        self._slug = f"slugs/{task.appuuid}/{self._id}.tgz"
        self._held = PushRenew(push=task.push, holder=worker, attempt=task.attempt)

    async def run(self, stop: asyncio.Event) -> str:
        """Build and report; gives `done`, `failed`, or `left` where another attempt has to do it:
        the lease was lost, the runtime was, or we stop. Then the lease runs out."""
        build = asyncio.create_task(self._build_and_report(), name=f"build {self._id}")
        kept = asyncio.create_task(
            lease.keep(self._shop.bus, self._held, self._task.lease_seconds), name="build lease"
        )
        stopping = asyncio.create_task(stop.wait())
        tasks = (build, kept, stopping)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if build.done():
                return build.result()
            if kept.done():
                log.warning("the build is no longer ours", why=kept.result())
            return "left"
        finally:
            unfinished = not build.done()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            if unfinished:
                await self._stop_task()

    async def _build_and_report(self) -> str:
        async with OutputLog(self._shop.bus, self._task).open() as output:
            found = await self._build(output)
            if found is None:
                await self._stop_task()
                return "left"
            if isinstance(found, BuildFailed):
                await output.end("failed", found.reason)
                await self._report(found)
                return "failed"
            await output.end("done")
            await self._report(found)
            return "done"

    async def _build(self, output: OutputLog) -> BuildDone | BuildFailed | None:
        """What came of it; None where nobody can say."""
        limit = self._task.time_limit_seconds
        try:
            async with asyncio.timeout(limit):
                code = await self._code(output)
        except TimeoutError:
            await self._stop_task()
            return self._failed(f"The build ran longer than {words(limit)}, stopping build")
        except Refused as fault:
            return self._failed(f"The build cannot be started: {fault.detail}")
        except CutOff as fault:
            log.warning("a build was cut off", fault=str(fault))
            return None
        if code:
            return self._failed(f"The build exited with code {code}, stopping build")
        return await self._done()

    async def _code(self, output: OutputLog) -> int:
        """Start it and hear it to its exit code, over as many streams as outages leave it.

        Raises Refused where it cannot be started, CutOff where nobody can say how it ended.
        """
        hearing = Hearing(output)
        async with contextlib.AsyncExitStack() as streams:
            stream = await self._stream(streams)
            await self._start(stream.id)
            while True:
                try:
                    return await hearing.of(stream)
                except StreamClosed as fault:
                    log.info("a build is joined again", fault=str(fault))
                    stream = await self._joined(streams, hearing.heard)

    async def _joined(self, streams: contextlib.AsyncExitStack, heard: int) -> ByteStream:
        """Another stream, once bus and runtime are there. The lost one stays open until then:
        its close gives the build up, unless the runtime has a newer listener."""
        for pause in delays(ceiling=1.0):
            stream = await self._stream(streams)
            join = BuildJoin(id=self._id, stream=stream.id, heard=heard)
            try:
                await self._shop.runtime.join_build(join)
            except Transient as fault:
                log.info("the runtime is away, the build is joined later", fault=str(fault))
                await asyncio.sleep(pause)
            except Refused as fault:
                raise CutOff(fault.detail) from fault
            else:
                return stream
        raise TypeError("delays never end")

    async def _stream(self, streams: contextlib.AsyncExitStack) -> ByteStream:
        """A byte stream's own end, as soon as the bus is there; closed with the others."""
        for pause in delays(ceiling=1.0):
            try:
                stream = await self._shop.bus.open_stream(new_id(), "opener")
            except Transient as fault:
                log.info("no byte stream for a build", fault=str(fault))
                await asyncio.sleep(pause)
            else:
                streams.push_async_callback(stream.close)
                return stream
        raise TypeError("delays never end")

    async def _start(self, stream_id: str) -> None:
        """Tell the runtime, however often it takes. Raises Refused."""
        run = self._build_run(stream_id)
        for pause in delays():
            try:
                await self._shop.runtime.build(run)
            except Transient as fault:
                log.info("the runtime is away, the build waits", fault=str(fault))
                await asyncio.sleep(pause)
            except Refused as fault:
                if fault.kind != "running":  # our own earlier request had arrived
                    raise
                return
            else:
                return

    def _build_run(self, stream_id: str) -> BuildRun:
        task = self._task
        cache = f"cache/{task.appuuid}/cache.tgz" if task.cache else ""
        return BuildRun(
            id=self._id,
            kind="buildpack",
            app=task.app,
            appuuid=task.appuuid,
            sha=task.sha,
            source_url=self._url(task.source),
            source_token=self._token("GET", task.source),
            slug_url=self._url(self._slug),
            slug_token=self._token("PUT", self._slug),
            cache_url=self._url(cache) if cache else "",
            cache_token=self._token("GET,PUT", cache) if cache else "",
            environment=task.environment,
            stream=stream_id,
            time_limit_seconds=task.time_limit_seconds + MARGIN_SECONDS,
            output_limit_bytes=task.output_limit_bytes,
            slug_limit_bytes=task.slug_limit_bytes,
        )

    def _url(self, key: str) -> str:
        return f"{self._shop.artifacts_url}{PATH}{key}"

    def _token(self, method: str, key: str) -> str:
        expires = time.time() + self._task.time_limit_seconds + TOKEN_SECONDS
        return sign(self._shop.key, method, key, expires)

    async def _done(self) -> BuildDone | BuildFailed | None:
        try:
            size = (await self._shop.objects.head(self._slug)).size
            result = await self._result()
        except (NoObject, Unusable) as fault:
            log.warning("a build without a usable result", fault=str(fault))
            return self._failed("The build ended well but left no slug, stopping build")
        except Transient as fault:
            log.warning("the result of a build cannot be read", fault=str(fault))
            return None
        return BuildDone(
            build=self._task.push,
            attempt=self._task.attempt,
            sha=self._task.sha,
            artifact=self._slug,
            procfile=result.procfile,
            slug_bytes=size,
            stages=result.stages,
        )

    async def _result(self) -> SlugResult:
        async with self._shop.objects.get(f"{self._slug}.json") as (info, chunks):
            if info.size > MAX_RESULT:
                raise Unusable("it is too large")
            return read_result(b"".join([chunk async for chunk in chunks]))

    def _failed(self, reason: str) -> BuildFailed:
        return BuildFailed(build=self._task.push, attempt=self._task.attempt, reason=reason)

    async def _report(self, event: BuildDone | BuildFailed) -> None:
        """Until the stream has it: the controller writes what follows."""
        task = self._task
        envelope = Envelope(
            id=str(uuid.uuid5(uuid.UUID(task.push), f"{task.attempt}")),
            type=event.TYPE,
            source=self._shop.bus.name,
            time=timestamp(),
            subject=task.app,
            appuuid=task.appuuid,
            actor=task.username,
            traceparent=task.traceparent,
        )
        for pause in delays():
            with contextlib.suppress(Transient):
                subject = subjects.report(task.app, event.TYPE)
                await self._shop.bus.publish(subject, envelope, encode(event))
                return
            await asyncio.sleep(pause)

    async def _stop_task(self) -> None:
        """What may still run of this attempt ends; where that fails the controller sees to it."""
        with contextlib.suppress(BusError, TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._shop.runtime.stop_build(self._id)


class CutOff(Exception):
    """Nobody can say how the build ended."""


class Hearing:
    """Output on its way to the log; `heard` counts its bytes."""

    def __init__(self, output: OutputLog) -> None:
        self.heard = 0
        self._output = output

    async def of(self, stream: ByteStream) -> int:
        """Until the exit code. Raises CutOff where the runtime ended it, StreamClosed where only
        the stream was lost."""
        async with contextlib.aclosing(stream.frames()) as frames:
            async for frame in frames:
                if frame.kind == "data":
                    self.heard += len(frame.data)
                    await self._output.write(frame.data)
                elif frame.kind == "exit":
                    return frame.code
                elif frame.kind == "cancel":
                    raise CutOff(frame.text or "the build was cancelled")
        raise StreamClosed("the stream ended without an exit code")
