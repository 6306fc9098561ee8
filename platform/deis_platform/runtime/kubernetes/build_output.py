"""Plays a build's output: the pod's own log, from any byte on, to whoever listens."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from deis_bus.errors import BusError, Refused, StreamClosed, Transient
from deis_bus.ports import ByteStream
from deis_platform.kubernetes import Kubernetes, NotFound, kinds
from deis_platform.logs import get_logger
from deis_platform.races import first
from deis_platform.retry import delays, retry
from deis_platform.runtime.kubernetes import build_pods, events, state, views, words
from deis_platform.runtime.kubernetes.build_mirror import BuildPods
from deis_platform.runtime.kubernetes.stamped import Stamped

log = get_logger(__name__)

START_SECONDS = 600.0
"""For an image to come and a node to be found."""
END_SECONDS = 30.0
"""Between the end of the log and the pod's own word of its exit code."""
LOST_SECONDS = 60.0
"""So long after its time limit a pod may still seem to run; then its node is lost."""
PAUSE_SECONDS = 2.0
STOPPED = "The build was ended by the platform"


class BuildOutput:
    """Plays builds, each to its end."""

    def __init__(self, api: Kubernetes, pods: BuildPods) -> None:
        self._api = api
        self._pods = pods

    async def play(self, pod: str, stream: ByteStream, heard: int) -> None:
        """From byte `heard` to the exit code. A listener who cancels ends the build; one who is
        lost does not. Raises Transient, Refused."""
        with contextlib.suppress(StreamClosed):
            if await first(self._send(pod, stream, heard), _given_up(stream)) == 1:
                await self._delete(pod)

    async def _send(self, pod: str, stream: ByteStream, heard: int) -> None:
        why = await self._started(pod)
        if self._pods.get(pod) is None:
            await stream.cancel(STOPPED)
        elif why:
            await self._delete(pod)
            await _note(stream, why)
            await stream.exit(1)
        elif await first(self._copy(pod, stream, heard), self._overdue(pod)) == 0:
            await self._end(pod, stream)
        else:
            await self._api.delete(kinds.POD, pod, self._pods.namespace, grace=0)
            await stream.cancel("The build's node is lost")

    async def _started(self, pod: str) -> str:
        """Wait until its container runs or has run; else why it does not."""

        def settled() -> bool:
            found = self._pods.get(pod)
            return found is None or state.begun(found) or bool(words.of_pod(found, state.now()))

        again = words.PATIENCE_SECONDS
        if not await self._pods.until(settled, again=again, seconds=START_SECONDS):
            return f"{pod} did not start within {START_SECONDS / 60:g} min"
        found = self._pods.get(pod)
        if found is None or state.begun(found):
            return ""
        return await events.explained(self._api, words.of_pod(found, state.now()), found)

    async def _copy(self, pod: str, stream: ByteStream, heard: int) -> None:
        """Its output, to its end or to its limit."""
        found = self._pods.get(pod)
        limit = build_pods.limits(found)[1] if found else 0
        async with contextlib.aclosing(self._output(pod, heard)) as output:
            async for data in output:
                fits = max(0, limit - heard) if limit else len(data)
                if data[:fits]:
                    await stream.send(data[:fits])
                heard += len(data)
                if len(data) > fits:
                    await self._cut(pod, build_pods.too_much(limit))
                    return

    async def _output(self, pod: str, skip: int) -> AsyncGenerator[bytes, None]:
        """Its log from that byte on, followed to its end, whatever happens to the API server.

        Where a reading broke off, what was given is read again and left out. A kubelet begins
        another file after 10 MB (with its own marks at each line), and of a build that has printed
        more by then the bytes in between are lost.
        """
        given = skip
        for pause in delays(ceiling=PAUSE_SECONDS):
            passed, over, lines = 0, self._pods.over(pod), Stamped()
            try:
                async with contextlib.aclosing(self._log(pod)) as chunks:
                    async for chunk in chunks:
                        output = lines.feed(chunk)
                        fresh = output[max(0, given - passed) :]
                        passed += len(output)
                        if fresh:
                            given += len(fresh)
                            yield fresh
            except (Transient, Refused) as fault:
                # 400: between two states. 404: of a kubelet that has just started and knows no
                # pod yet, or there is no such pod any more.
                if isinstance(fault, NotFound) and self._pods.get(pod) is None:
                    return
                log.info("a build's log is read on", pod=pod, fault=str(fault))
            else:
                if lines.whole and (over or self._pods.over(pod)):
                    return
            await self._pause(pod, pause)

    def _log(self, pod: str) -> AsyncGenerator[bytes, None]:
        return self._api.logs(
            pod,
            self._pods.namespace,
            container=build_pods.CONTAINER,
            follow=True,
            timestamps=True,
        )

    async def _pause(self, pod: str, seconds: float) -> None:
        """Before another reading: until its end, which is told a moment after that of its log."""
        if self._pods.over(pod):
            await asyncio.sleep(seconds)
        else:
            await self._pods.until(lambda: self._pods.over(pod), seconds=seconds)

    async def _overdue(self, pod: str) -> None:
        """End it at its time limit, counted from its start; returns only if even that fails."""
        found = self._pods.get(pod)
        limit = build_pods.limits(found)[0] if found else 0.0
        if found is None or not limit:
            await asyncio.Event().wait()
            return
        begin = state.started(found) or state.now()
        await asyncio.sleep(max(0.0, limit - (state.now() - begin).total_seconds()))
        if self._pods.over(pod):  # in time: only its log is still being read
            await asyncio.Event().wait()
        with contextlib.suppress(BusError):
            await retry(lambda: self._cut(pod, build_pods.too_late(limit)), seconds=LOST_SECONDS)
        await asyncio.sleep(LOST_SECONDS)

    async def _cut(self, pod: str, why: str) -> None:
        """The kubelet ends it, and the pod stays with its log and the reason."""
        patch = {
            "metadata": {"annotations": {build_pods.ENDED: why}},
            "spec": {"activeDeadlineSeconds": 1},
        }
        with contextlib.suppress(NotFound):
            self._pods.learn(await self._api.patch(kinds.POD, pod, self._pods.namespace, patch))

    async def _end(self, pod: str, stream: ByteStream) -> None:
        """The exit code, or what the platform did to it."""
        await self._pods.until(lambda: self._ended_by_us(pod) or self._pods.over(pod),
                               seconds=END_SECONDS)  # fmt: skip
        found = self._pods.get(pod)
        end = state.terminated(found) if found else None
        if found is None or found.metadata.deletion_timestamp:
            await stream.cancel(STOPPED)
        elif why := why_ended(found):
            await _note(stream, why)
            await stream.exit(1)
        elif end is None:
            await stream.cancel(STOPPED)
        else:
            await stream.exit(end.exit_code)

    def _ended_by_us(self, pod: str) -> bool:
        found = self._pods.get(pod)
        return found is not None and build_pods.ENDED in found.metadata.annotations

    async def _delete(self, pod: str) -> None:
        await self._api.delete(kinds.POD, pod, self._pods.namespace)


def why_ended(pod: views.Pod) -> str:
    """What ended it that was not the build itself; empty for its own exit."""
    if why := pod.metadata.annotations.get(build_pods.ENDED):
        return why
    if pod.status.reason == "DeadlineExceeded":
        return build_pods.too_late(build_pods.limits(pod)[0])
    if pod.status.reason:
        return f"The build was ended: {pod.status.reason}: {pod.status.message}"
    end = state.terminated(pod)
    if end is not None and end.reason in ("OOMKilled", *words.NO_PROGRAM):
        return words.ended("The build", end)
    return ""


async def _note(stream: ByteStream, text: str) -> None:
    await stream.send(f"-----> {text}\n".encode())


async def _given_up(stream: ByteStream) -> None:
    """Until the listener says that it gives the build up."""
    async for frame in stream.frames():
        if frame.kind in ("cancel", "exit"):
            return
    await asyncio.Event().wait()  # we have ended it ourselves
