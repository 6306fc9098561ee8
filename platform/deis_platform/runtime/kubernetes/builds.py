"""Builds in pods: their output is the pod's own log, so it outlives whoever listens (DESIGN 5).

A builder that dies leaves the pod running; the next attempt's `stop` ends it, and a listener whose
stream was lost joins again from the byte it had heard. Pods and Secrets are cleared away by every
builder, whoever started them.
"""

import asyncio
import contextlib
import datetime
import functools
from typing import Any

from deis_bus.contracts.runtime import BuildJoin, BuildRun
from deis_bus.errors import BusError, Refused, Transient
from deis_bus.ports import Bus
from deis_platform.kubernetes import Conflict, Kubernetes, kinds
from deis_platform.logs import get_logger
from deis_platform.races import unless
from deis_platform.runner import Part
from deis_platform.runtime.kubernetes import build_pods, state, views, words
from deis_platform.runtime.kubernetes.build_mirror import SELECTOR, BuildPods
from deis_platform.runtime.kubernetes.build_output import START_SECONDS, BuildOutput
from deis_platform.runtime.kubernetes.facts import Facts
from deis_platform.runtime.kubernetes.refusals import refusals

log = get_logger(__name__)

KEPT_SECONDS = 300.0
"""How long an ended build is kept for a builder that has lost its stream."""
STOP_SECONDS = 30.0
LOOK_SECONDS = 30.0
Object = dict[str, Any]


class Builds:
    """A part: starts build pods, plays their output, clears away what has ended."""

    name = "builds"

    def __init__(self, api: Kubernetes, bus: Bus, facts: Facts) -> None:
        self._api = api
        self._bus = bus
        self._facts = facts
        self._namespace = facts.build_namespace
        self._pods = BuildPods(api, self._namespace)
        self._output = BuildOutput(api, self._pods)
        self._players: dict[str, asyncio.Task[None]] = {}

    @property
    def parts(self) -> tuple[Part, ...]:
        """What has to run."""
        return (self._pods.mirror, self)

    async def run(self, stop: asyncio.Event) -> None:
        """Clear away until stopped; builds go on, who hears them is told that it is not here."""
        try:
            await unless(stop, self._clear())
        finally:
            players = list(self._players.values())
            for player in players:
                player.cancel()
            if players:
                await asyncio.wait(players)

    async def build(self, task: BuildRun) -> None:
        """Make Secrets and pod. Raises Refused 409 `running` while one of that id is there, 400
        for a quota that is used up and the like; Transient."""
        if task.kind not in ("", "buildpack"):
            raise Refused(400, f"This platform makes no builds of kind {task.kind}")
        with refusals():
            pod = await self._made(task)
        self._pods.learn(pod)
        await self._own(task, str(pod["metadata"]["uid"]))
        self._play(str(pod["metadata"]["name"]), task.stream, 0)

    async def join_build(self, join: BuildJoin) -> None:
        """Go on with its output over another stream. Raises Refused 404 where it is unknown."""
        found = await self._find(join.id)
        kept = next((pod for pod in found if "deletionTimestamp" not in pod["metadata"]), None)
        if kept is None:
            raise Refused(404, f"no output of build {join.id} is kept")
        self._pods.learn(kept)
        self._play(str(kept["metadata"]["name"]), join.stream, join.heard)

    async def stop_build(self, task_id: str) -> None:
        """Delete its pod, and wait for its end, bounded."""
        for pod in await self._find(task_id):
            meta = pod["metadata"]
            await self._api.delete(kinds.POD, meta["name"], self._namespace, uid=meta["uid"])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                while await self._find(task_id):
                    await self._pods.changed(1.0)

    async def _made(self, task: BuildRun) -> Object:
        """Secrets, then the pod that needs them."""
        for secret in build_pods.secrets(task, self._facts):
            await self._secret(task, secret)
        try:
            return await self._api.create(build_pods.pod(task, self._facts))
        except Conflict as fault:
            if (own := await self._asked_before(task)) is not None:
                return own
            raise Refused(409, f"build {task.id} is running already", "running") from fault
        except Refused:
            for secret in build_pods.secrets(task, self._facts):
                with contextlib.suppress(BusError):
                    await self._api.delete(
                        kinds.SECRET, secret["metadata"]["name"], self._namespace
                    )
            raise

    async def _secret(self, task: BuildRun, secret: Object) -> None:
        """One that a starter left behind who died before it made the pod is replaced."""
        try:
            await self._api.create(secret)
        except Conflict:
            if not await self._find(task.id):
                await self._api.delete(kinds.SECRET, secret["metadata"]["name"], self._namespace)
                await self._api.create(secret)

    async def _asked_before(self, task: BuildRun) -> Object | None:
        """The pod of this very request, whose answer was lost on its way to us."""
        for pod in await self._find(task.id):
            meta = pod["metadata"]
            same = meta["annotations"].get(build_pods.STREAM) == task.stream
            if same and meta["name"] not in self._players:
                return pod
        return None

    async def _own(self, task: BuildRun, uid: str) -> None:
        """The Secrets go when the pod goes."""
        owner = {"apiVersion": "v1", "kind": "Pod", "name": build_pods.name(task), "uid": uid}
        patch = {"metadata": {"ownerReferences": [owner]}}
        for secret in build_pods.secrets(task, self._facts):
            with contextlib.suppress(BusError):
                name = secret["metadata"]["name"]
                await self._api.patch(kinds.SECRET, name, self._namespace, patch)

    async def _find(self, task_id: str) -> list[Object]:
        """From the API server: the mirror may be behind another builder's start."""
        labels = f"{build_pods.TASK_LABEL}={build_pods.key(task_id)}"
        found = await self._api.list(kinds.POD, self._namespace, labels=labels, view=dict)
        return [{"apiVersion": "v1", "kind": "Pod", **pod} for pod in found.items]

    def _play(self, pod: str, stream: str, heard: int) -> None:
        """The newest listener counts."""
        before = self._players.pop(pod, None)
        if before is not None:
            before.cancel()
        player = asyncio.create_task(self._played(pod, stream, heard), name=pod)
        self._players[pod] = player
        player.add_done_callback(functools.partial(self._forget, pod))

    def _forget(self, pod: str, player: "asyncio.Task[None]") -> None:
        if self._players.get(pod) is player:
            del self._players[pod]
        if not player.cancelled() and player.exception() is not None:
            log.error("a build's output broke", pod=pod, exc_info=player.exception())

    async def _played(self, pod: str, stream_id: str, heard: int) -> None:
        try:
            stream = await self._bus.open_stream(stream_id, "acceptor")
            try:
                await self._output.play(pod, stream, heard)
            finally:
                await stream.close()
        except (Transient, Refused) as fault:  # the build goes on; who wants to hear it joins again
            log.warning("a build is not heard", pod=pod, fault=str(fault))

    async def _clear(self) -> None:
        """Again and again, whatever a look meets."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            with contextlib.suppress(BusError):
                await self._look()

    async def _look(self) -> None:
        """Delete pods a while after their end, those that never began, and Secrets without pod."""
        await self._pods.mirror.synced.wait()
        for pod in self._pods.all():
            if _over(pod, state.now()):
                meta = pod.metadata
                await self._api.delete(kinds.POD, meta.name, self._namespace, uid=meta.uid)
        secrets = await self._api.list(
            kinds.SECRET, self._namespace, view=views.View, labels=SELECTOR
        )
        for secret in secrets.items:
            meta = secret.metadata
            alone = self._pods.get(build_pods.pod_of(meta.name)) is None
            if alone and _age(meta.creation_timestamp, state.now()) > KEPT_SECONDS:
                await self._api.delete(kinds.SECRET, meta.name, self._namespace, uid=meta.uid)


def _over(pod: views.Pod, now: datetime.datetime) -> bool:
    """Whether nobody will ask for it any more."""
    end = state.ended(pod)
    if end is not None:
        return (now - end).total_seconds() > KEPT_SECONDS
    # No node ever took it, and who waited for that is gone.
    longest = START_SECONDS + build_pods.limits(pod)[0] + KEPT_SECONDS
    return _age(pod.metadata.creation_timestamp, now) > longest


def _age(created: str, now: datetime.datetime) -> float:
    made = words.moment(created)
    return (now - made).total_seconds() if made else 0.0
