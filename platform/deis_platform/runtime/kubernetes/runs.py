"""One-off commands: a pod each, joined to a byte stream by an attachment (api.md 11).

The container waits for one line before it begins, so that nothing it prints is lost before we
hear it; input and outputs then are the program's own, byte for byte.
"""

import asyncio
import contextlib
import datetime
import functools
from collections.abc import Mapping
from typing import Any

import aiohttp

from deis_bus.contracts.runtime import AppRef, RunTask
from deis_bus.errors import BusError, Refused, StreamClosed, Transient
from deis_bus.events.processes import RunEnded
from deis_bus.ports import Bus, ByteStream, Frame
from deis_platform.kubernetes import Conflict, Kubernetes, kinds
from deis_platform.logs import get_logger
from deis_platform.races import first, unless
from deis_platform.reports import Reports
from deis_platform.retry import retry
from deis_platform.runtime.kubernetes import events, names, run_pods, state, views, words
from deis_platform.runtime.kubernetes.attached import STDERR, Attached
from deis_platform.runtime.kubernetes.cluster import Cluster
from deis_platform.runtime.kubernetes.facts import Facts
from deis_platform.runtime.kubernetes.refusals import refusals
from deis_platform.runtime.kubernetes.writing import Writer

log = get_logger(__name__)

START_SECONDS = 300.0
"""For an image to come and a node to be found."""
ATTACH_SECONDS = 30.0
END_SECONDS = 30.0
"""Between the end of the output and the pod's own word of its exit code."""
STOP_SECONDS = 5
KEPT_SECONDS = 60.0
"""How long an ended pod is left that nobody here relays: another replica may be about to read."""
KILLING = ("INT", "TERM", "HUP", "QUIT", "KILL")
INTERRUPT = b"\x03"
END_OF_TRANSMISSION = b"\x04"


class Runs:
    """A part: starts one-off pods, relays them, clears away what has ended."""

    name = "runs"

    def __init__(
        self,
        api: Kubernetes,
        cluster: Cluster,
        writer: Writer,
        bus: Bus,
        reports: Reports,
        facts: Facts,
    ) -> None:
        self._api = api
        self._cluster = cluster
        self._writer = writer
        self._bus = bus
        self._reports = reports
        self._facts = facts
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Clear away until stopped; what is relayed then ends with its stream."""
        try:
            await unless(stop, self._clear())
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    async def start(self, task: RunTask, exposed: int = 0) -> None:
        """Make Secret and pod. Raises Refused 409 `running` where that instance is there, 400
        `quota` and the like; Transient, and then there is none."""
        with refusals():
            await self._writer.claim(AppRef(app=task.app, appuuid=task.appuuid))
            pod = await self._made(task, exposed)
        self._cluster.learn_pod(pod)
        owned = run_pods.owned(task, str(pod["metadata"]["uid"]))
        relaying = asyncio.create_task(self._whole(task, owned), name=task.instance)
        self._tasks[task.instance] = relaying
        relaying.add_done_callback(functools.partial(self._forget, task.instance))

    async def _made(self, task: RunTask, exposed: int) -> dict[str, Any]:
        try:
            with contextlib.suppress(Conflict):
                await self._api.create(run_pods.secret(task, exposed))
            return await self._api.create(run_pods.pod(task, self._facts, exposed))
        except Conflict as fault:
            raise Refused(409, f"{task.instance} is running already", "running") from fault
        except BusError:
            # Without an answer it may have been made all the same.
            await self._delete(task.instance, task.app)
            with contextlib.suppress(BusError):
                await self._api.delete(*run_pods.secret_key(task))
            raise

    def _forget(self, instance: str, task: "asyncio.Task[None]") -> None:
        self._tasks.pop(instance, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("a run failed", instance=instance, exc_info=task.exception())

    async def _whole(self, task: RunTask, owned: dict[str, Any]) -> None:
        code, why = 1, "it was ended by the platform"
        try:
            with contextlib.suppress(BusError):
                await self._api.patch(*run_pods.secret_key(task), owned)
            stream = await self._bus.open_stream(task.stream, "acceptor")
            try:
                code, why = await self._bounded(task, stream)
            finally:
                await _tell(stream, code, why)
                await stream.close()
        finally:
            self._reports.tell(
                task.app, task.appuuid, RunEnded(instance=task.instance, exit_code=code)
            )
            await self._delete(task.instance, task.app)

    async def _bounded(self, task: RunTask, stream: ByteStream) -> tuple[int, str]:
        try:
            async with asyncio.timeout(task.time_limit_seconds):
                return await self._relayed(task, stream)
        except TimeoutError:
            return 1, f"Timed out ({task.time_limit_seconds / 60:g} mins) while running"
        except (Refused, Transient) as fault:
            return 1, str(fault)

    async def _relayed(self, task: RunTask, stream: ByteStream) -> tuple[int, str]:
        """Exit code, or why it did not come to one."""
        if why := await self._started(task):
            return 1, why
        pod = self._pod(task)
        if pod is not None and (end := state.terminated(pod)) is not None:
            return await self._early(task, stream, end)
        attached = Attached(await self._attach(task))
        try:
            if task.tty:
                await attached.resize(task.columns, task.rows)
            await attached.send(END_OF_TRANSMISSION if task.tty else b"\n")
            ended = await first(
                self._outward(attached, stream), self._inward(task, attached, stream)
            )
        finally:
            await attached.close()
        if ended == 1:
            await self._delete(task.instance, task.app)
        return await self._code(task)

    async def _early(
        self, task: RunTask, stream: ByteStream, end: views.Terminated
    ) -> tuple[int, str]:
        """It ended before anybody let it begin: its log says that there is no slug, the end itself
        that there is no shell."""
        if end.reason in words.NO_PROGRAM:
            return 1, words.ended(task.instance, end)
        with contextlib.suppress(Refused, Transient):
            logs = self._api.logs(task.instance, task.app, container=run_pods.container(task))
            async with contextlib.aclosing(logs):
                async for chunk in logs:
                    await stream.send(chunk, STDERR)
        return end.exit_code or 1, ""

    async def _attach(self, task: RunTask) -> aiohttp.ClientWebSocketResponse:
        """As often as it takes: the command has not begun. Raises Refused, Transient."""
        container = run_pods.container(task)
        return await retry(
            lambda: self._api.attach(task.instance, task.app, container=container, tty=task.tty),
            seconds=ATTACH_SECONDS,
        )

    async def _started(self, task: RunTask) -> str:
        """Wait until its container runs or has run; else why it will not."""

        def settled() -> bool:
            pod = self._pod(task)
            return pod is None or state.begun(pod) or bool(words.of_pod(pod, state.now()))

        try:
            async with asyncio.timeout(START_SECONDS):
                await self._cluster.until(task.app, settled, again=words.PATIENCE_SECONDS)
        except TimeoutError:
            return f"{task.instance} did not start within {START_SECONDS / 60:g} min"
        pod = self._pod(task)
        if pod is None:
            return f"{task.instance} was deleted"
        if state.begun(pod):
            return ""
        return await events.explained(self._api, words.of_pod(pod, state.now()), pod)

    async def _outward(self, attached: Attached, stream: ByteStream) -> None:
        """Output until there is no more; what nobody hears is read all the same."""
        heard = True
        async with contextlib.aclosing(attached.output()) as output:
            async for channel, data in output:
                try:
                    if heard:
                        await stream.send(data, channel)
                except StreamClosed:
                    heard = False

    async def _inward(self, task: RunTask, attached: Attached, stream: ByteStream) -> None:
        """Input until the other end gives up; one that is lost ends only a terminal."""
        try:
            async for frame in stream.frames():
                if frame.kind in ("cancel", "exit"):
                    return
                if await self._take(task, attached, frame):
                    return
        except StreamClosed:
            if task.tty:
                return
        except Transient:
            pass
        await asyncio.Event().wait()  # the output tells the end

    async def _take(self, task: RunTask, attached: Attached, frame: Frame) -> bool:
        """Pass one frame on; True for a signal that ends it."""
        if frame.kind == "data":
            await attached.send(frame.data)
        elif frame.kind == "end":
            await (attached.send(END_OF_TRANSMISSION) if task.tty else attached.end_input())
        elif frame.kind == "resize" and task.tty:
            await attached.resize(frame.columns, frame.rows)
        elif frame.kind == "signal":
            name = frame.text.removeprefix("SIG")
            if task.tty and name == "INT":
                await attached.send(INTERRUPT)
            else:
                return name in KILLING
        return False

    async def _code(self, task: RunTask) -> tuple[int, str]:
        """The exit code, as the pod tells it soon after the end of its output."""
        last: list[int] = []

        def known() -> bool:
            pod = self._pod(task)
            if pod is None:
                return True
            end = state.terminated(pod)
            last[:] = [] if end is None else [end.exit_code]
            return end is not None

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self._cluster.until(task.app, known)
        return (last[0], "") if last else (1, f"{task.instance} went away")

    def _pod(self, task: RunTask) -> views.Pod | None:
        return self._cluster.pods.get(task.app, {}).get(task.instance)

    async def _delete(self, instance: str, app: str) -> None:
        try:
            await self._api.delete(kinds.POD, instance, app, grace=STOP_SECONDS)
        except BusError as fault:
            log.warning("a run's pod is deleted later", instance=instance, fault=str(fault))

    async def _clear(self) -> None:
        """Ended pods that nobody here relays, a while after their end; Secrets without a pod."""
        while True:
            await asyncio.sleep(KEPT_SECONDS)
            pods, secrets = self._cluster.pods, self._cluster.secrets
            for app in list(self._cluster.namespaces.items):
                for pod in pods.of(app):
                    if _over(pod) and pod.metadata.name not in self._tasks:
                        await self._delete(pod.metadata.name, app)
                for secret in secrets.of(app):
                    if _orphan(secret, pods.get(app, {})):
                        with contextlib.suppress(BusError):
                            await self._api.delete(kinds.SECRET, secret.metadata.name, app)


async def _tell(stream: ByteStream, code: int, why: str) -> None:
    with contextlib.suppress(BusError):
        await (stream.cancel(why) if why else stream.exit(code))


def _over(pod: views.Pod) -> bool:
    """A one-off pod that ended a while ago."""
    if pod.metadata.labels.get(names.TYPE) != names.RUN:
        return False
    time = state.ended(pod)
    return time is not None and _past(time)


def _orphan(secret: views.View, pods: Mapping[str, views.Pod]) -> bool:
    """Variables of a one-off command whose starter died before it had made the pod."""
    meta = secret.metadata
    if meta.labels.get(names.TYPE) != run_pods.SECRET_TYPE:
        return False
    made = words.moment(meta.creation_timestamp)
    return meta.name.removesuffix(run_pods.SECRET_END) not in pods and bool(made and _past(made))


def _past(time: datetime.datetime) -> bool:
    return (state.now() - time).total_seconds() > KEPT_SECONDS
