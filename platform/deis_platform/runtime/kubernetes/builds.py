"""Builds in pods: their output is the pod's own log, so it outlives whoever listens (DESIGN 5).

A builder that dies leaves the pod running; the next attempt's `stop` ends it, and a listener whose
stream was lost joins again from the byte it had heard. Pods and Secrets are cleared away by every
builder, whoever started them.
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, Callable

from deis_bus.contracts.runtime import BuildJoin, BuildRun
from deis_bus.errors import BusError, Refused, StreamClosed, Transient
from deis_bus.ports import Bus, ByteStream
from deis_platform.kubernetes import Conflict, Kubernetes, Mirror, NotFound, kinds
from deis_platform.logs import get_logger
from deis_platform.races import first, unless
from deis_platform.retry import delays
from deis_platform.runner import Part
from deis_platform.runtime.kubernetes import build_pods, state, views, words
from deis_platform.runtime.kubernetes.facts import Facts

log = get_logger(__name__)

KEPT_SECONDS = 300.0
"""How long an ended build is kept for a builder that has lost its stream."""
STOP_SECONDS = 30.0
START_SECONDS = 600.0
LOOK_SECONDS = 30.0
SELECTOR = f"heritage=deis,{build_pods.TASK_LABEL}"
MEGABYTE = 1024 * 1024


class Builds:
    """A part: starts build pods, plays their output, clears away what has ended."""

    name = "builds"

    def __init__(self, api: Kubernetes, bus: Bus, facts: Facts) -> None:
        namespace = facts.build_namespace
        self._api = api
        self._bus = bus
        self._facts = facts
        self._namespace = namespace
        self._pods = Mirror(
            api, kinds.POD, views.Pod, namespace=namespace, labels=SELECTOR, heard=self._heard
        )
        self._players: dict[str, asyncio.Task[None]] = {}
        self._changes = asyncio.Event()
        self._limits: dict[str, BuildRun] = {}

    @property
    def parts(self) -> tuple[Part, ...]:
        """What has to run."""
        return (self._pods, self)

    async def run(self, stop: asyncio.Event) -> None:
        """Clear away until stopped."""
        try:
            await unless(stop, self._clear())
        finally:
            players = list(self._players.values())
            for player in players:
                player.cancel()
            if players:
                await asyncio.wait(players)

    async def build(self, task: BuildRun) -> None:
        """Make Secrets and pod. Raises Refused 409 `running` while one of that id is there."""
        if task.kind not in ("", "buildpack"):
            raise Refused(400, f"This platform makes no builds of kind {task.kind}")
        for secret in build_pods.secrets(task, self._facts):
            with contextlib.suppress(Conflict):
                await self._api.create(secret)
        try:
            pod = await self._api.create(build_pods.pod(task, self._facts))
        except Conflict as fault:
            raise Refused(409, f"build {task.id} is running already", "running") from fault
        self._pods.learn(pod)
        self._limits[build_pods.name(task)] = task
        await self._own(task, str(pod["metadata"]["uid"]))
        self._play(str(pod["metadata"]["name"]), task.stream, 0, task)

    async def join_build(self, join: BuildJoin) -> None:
        """Go on with its output over another stream. Raises Refused 404 where it is unknown."""
        pod = await self._find(join.id)
        if pod is None:
            raise Refused(404, f"no output of build {join.id} is kept")
        own = pod.metadata.name
        self._play(own, join.stream, join.heard, self._limits.get(own))

    async def stop_build(self, task_id: str) -> None:
        """Delete its pod, and wait for its end, bounded."""
        pod = await self._find(task_id)
        if pod is None:
            return
        meta = pod.metadata
        await self._api.delete(kinds.POD, meta.name, self._namespace, uid=meta.uid)
        gone = self._until(lambda: meta.name not in self._names())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await gone

    async def _own(self, task: BuildRun, uid: str) -> None:
        """The Secrets go when the pod goes."""
        owner = {"apiVersion": "v1", "kind": "Pod", "name": build_pods.name(task), "uid": uid}
        patch = {"metadata": {"ownerReferences": [owner]}}
        for secret in build_pods.secrets(task, self._facts):
            with contextlib.suppress(BusError):
                name = secret["metadata"]["name"]
                await self._api.patch(kinds.SECRET, name, self._namespace, patch)

    async def _find(self, task_id: str) -> views.Pod | None:
        """From the API server: the mirror may be behind another builder's start."""
        labels = f"{build_pods.TASK_LABEL}={build_pods.key(task_id)}"
        found = await self._api.list(kinds.POD, self._namespace, labels=labels, view=views.Pod)
        return next((pod for pod in found.items if not pod.metadata.deletion_timestamp), None)

    def _play(self, pod: str, stream_id: str, heard: int, task: BuildRun | None) -> None:
        """The newest listener counts."""
        before = self._players.pop(pod, None)
        if before is not None:
            before.cancel()
        player = asyncio.create_task(self._played(pod, stream_id, heard, task), name=pod)
        self._players[pod] = player
        player.add_done_callback(functools.partial(self._forget, pod))

    def _forget(self, pod: str, player: "asyncio.Task[None]") -> None:
        if self._players.get(pod) is player:
            del self._players[pod]
        if not player.cancelled() and player.exception() is not None:
            log.error("a build's output broke", pod=pod, exc_info=player.exception())

    async def _played(self, pod: str, stream_id: str, heard: int, task: BuildRun | None) -> None:
        try:
            stream = await self._bus.open_stream(stream_id, "acceptor")
        except BusError as fault:
            log.warning("a build without a listener", pod=pod, fault=str(fault))
            return
        try:
            with contextlib.suppress(StreamClosed):
                ended = await first(self._send(pod, stream, heard, task), _given_up(stream))
                if ended == 1:  # who cancels ends the build; who is only lost does not
                    await self._api.delete(kinds.POD, pod, self._namespace)
        finally:
            await stream.close()

    async def _send(self, pod: str, stream: ByteStream, heard: int, task: BuildRun | None) -> None:
        limit = task.output_limit_bytes if task else 0
        if why := await self._started(pod):
            await stream.cancel(why)
            return
        async with contextlib.aclosing(self._output(pod, heard)) as output:
            async for data in output:
                heard += len(data)
                if limit and heard > limit:
                    await stream.send(data[: max(0, len(data) - (heard - limit))])
                    await self._too_much(pod, stream, limit)
                    return
                await stream.send(data)
        await self._end(pod, stream, task)

    async def _too_much(self, pod: str, stream: ByteStream, limit: int) -> None:
        words_of_it = f"The build printed more than {limit / MEGABYTE:g} MB and was ended"
        await stream.send(f"-----> {words_of_it}\n".encode())
        await self._api.delete(kinds.POD, pod, self._namespace)
        await stream.exit(1)

    async def _started(self, pod: str) -> str:
        """Wait until its container runs or has run; else why it does not."""

        def settled() -> bool:
            found = self._pod(pod)
            return found is None or state.begun(found) or bool(words.of_pod(found, state.now()))

        try:
            async with asyncio.timeout(START_SECONDS):
                await self._until(settled, words.PATIENCE_SECONDS)
        except TimeoutError:
            return f"{pod} did not start within {START_SECONDS / 60:g} min"
        found = self._pod(pod)
        if found is None:
            return "the build was stopped"
        return "" if state.begun(found) else words.of_pod(found, state.now())

    async def _output(self, pod: str, skip: int) -> AsyncGenerator[bytes, None]:
        """Its log from that byte on, followed to its end, whatever happens to the API server."""
        given = skip
        for pause in delays(ceiling=2.0):
            passed = 0
            try:
                logs = self._api.logs(
                    pod, self._namespace, container=build_pods.CONTAINER, follow=True
                )
                async with contextlib.aclosing(logs):
                    async for chunk in logs:
                        fresh = chunk[max(0, given - passed) :]
                        passed += len(chunk)
                        if fresh:
                            given += len(fresh)
                            yield fresh
                if self._over(pod):
                    return
            except (Transient, NotFound) as fault:
                if isinstance(fault, NotFound):
                    return
                log.info("a build's log is read on", pod=pod, fault=str(fault))
            await asyncio.sleep(pause)

    async def _end(self, pod: str, stream: ByteStream, task: BuildRun | None) -> None:
        """The exit code, or what the platform did to it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._until(lambda: self._over(pod))
        found = self._pod(pod)
        end = state.terminated(found) if found else None
        if found is not None and found.status.reason == "DeadlineExceeded":
            minutes = f"{task.time_limit_seconds / 60:g} min" if task else "its time limit"
            await stream.send(
                f"-----> The build took longer than {minutes} and was ended\n".encode()
            )
            await stream.exit(1)
        elif end is None:
            await stream.cancel("the build was stopped")
        else:
            if end.reason == "OOMKilled":
                await stream.send(b"-----> The build used more memory than its limit (OOMKilled)\n")
            await stream.exit(end.exit_code)

    async def _clear(self) -> None:
        """Ended builds, a while after their end, and what nobody ever started."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for pod in list(self._pods.items.values()):
                end = state.terminated(pod)
                time = words.moment(end.finished_at) if end else None
                if time is not None and (state.now() - time).total_seconds() > KEPT_SECONDS:
                    self._limits.pop(pod.metadata.name, None)
                    with contextlib.suppress(BusError):
                        await self._api.delete(kinds.POD, pod.metadata.name, self._namespace)

    def _heard(self, _key: str, _old: views.Pod | None, _new: views.Pod | None) -> None:
        self._changes.set()
        self._changes = asyncio.Event()

    def _pod(self, name: str) -> views.Pod | None:
        return self._pods.items.get(f"{self._namespace}/{name}")

    def _over(self, name: str) -> bool:
        pod = self._pod(name)
        return pod is None or state.terminated(pod) is not None

    def _names(self) -> set[str]:
        return {pod.metadata.name for pod in self._pods.items.values()}

    async def _until(self, true: Callable[[], bool], again: float | None = None) -> None:
        """Wait until it is true: looked at after each change of a pod, and every `again` s."""
        while not true():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(again):
                    await self._changes.wait()


async def _given_up(stream: ByteStream) -> None:
    """Until the listener says that it gives the build up."""
    async for frame in stream.frames():
        if frame.kind in ("cancel", "exit"):
            return
