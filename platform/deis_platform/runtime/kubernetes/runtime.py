"""The runtime on Kubernetes: what is wanted is written, what is there is mirrored."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable

import msgspec

from deis_bus.contracts.runtime import (
    AppRef,
    AppSpec,
    AppStatus,
    BuildJoin,
    BuildRun,
    Instance,
    Restart,
    RunTask,
)
from deis_bus.errors import Refused, Transient
from deis_bus.ports import Bus
from deis_bus.routes import AppRoute
from deis_platform.kubernetes import Kubernetes, kinds
from deis_platform.reports import Reports
from deis_platform.runner import Part
from deis_platform.runtime.kubernetes import (
    events,
    marks,
    names,
    objects,
    state,
    views,
)
from deis_platform.runtime.kubernetes.build_policy import BuildPolicy
from deis_platform.runtime.kubernetes.builds import Builds
from deis_platform.runtime.kubernetes.cluster import Cluster
from deis_platform.runtime.kubernetes.facts import Facts
from deis_platform.runtime.kubernetes.images import Images, Inspect
from deis_platform.runtime.kubernetes.refusals import refusals
from deis_platform.runtime.kubernetes.retiring import Retirement
from deis_platform.runtime.kubernetes.runs import Runs
from deis_platform.runtime.kubernetes.surroundings import Surroundings
from deis_platform.runtime.kubernetes.telling import Telling
from deis_platform.runtime.kubernetes.writing import Writer, stale
from deis_platform.runtime.port import Observation

REMOVE_SECONDS = 60.0
RESTART_SECONDS = 300.0
"""How long a restart waits for new instances (api.md 10.3)."""
EVERYTHING = ""
"""Told in the place of an application where every one may be concerned: none has that name."""


class KubernetesRuntime:
    """Implements `Runtime`. `parts` have to run. While the API server is away, what only asks gets
    what was known last; what writes raises Transient. Where the app's name is somebody else's
    namespace, that is Refused 409 `foreign`."""

    def __init__(
        self, api: Kubernetes, bus: Bus, facts: Facts, reports: Reports, inspect: Inspect
    ) -> None:
        self._api = api
        self._facts = facts
        self._cluster = Cluster(api, facts.platform_namespace)
        self._images = Images(inspect, self._cluster)
        self._around = Surroundings(api, facts, self._moved)
        self._build_policy = BuildPolicy(api, facts.build_namespace, self._around)
        self._writer = Writer(api, self._cluster, self._around)
        self._retirement = Retirement(api, self._cluster)
        self._runs = Runs(api, self._cluster, self._writer, bus, reports, facts)
        self._builds = Builds(api, bus, facts)
        self._telling = Telling(self._cluster, reports)
        self._watchers: set[Callable[[str], None]] = set()
        self._newer: dict[str, int] = {}
        """Generations that were begun here before the database was put back to an older state."""
        self._cluster.listeners.append(self._tell)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Mirrors, and what works on what they tell."""
        mirrors = (*self._cluster.parts, *self._around.parts, self._build_policy.mirror)
        working = (self._retirement, self._runs, self._build_policy)
        return (*mirrors, *working, *self._builds.parts)

    async def claim(self, app: AppRef) -> None:
        """Make the namespace, and the Service without anything behind it."""
        await self._writer.claim(app)

    async def route(self, route: AppRoute) -> None:
        """What the router reads off the app's Service; writes only what differs."""
        await self._cluster.present()
        obj = objects.routes(route)
        held = self._cluster.held(route.app, route.appuuid)
        if held is None or held.service is None:
            await self._writer.claim(AppRef(app=route.app, appuuid=route.appuuid))
        elif _says(held.service, obj):
            return
        await self._writer.route(obj)

    def routed(self, app: str) -> bool:
        """Whether its Service names a host."""
        service = self._cluster.services.get(app, {}).get(app)
        return service is not None and names.DOMAINS in service.metadata.annotations

    async def apply(self, spec: AppSpec) -> None:
        """Write it all; pods follow. Raises Refused 409 `stale`, 400 for what cannot run, 400
        `image` for an image that cannot be had."""
        await self._cluster.present()
        await self._around.present()
        held = self._held(AppRef(app=spec.app, appuuid=spec.appuuid))
        if held is not None:
            known = state.generation(held)
            if known > spec.generation:
                raise stale(spec.app, spec.generation)
            if known == spec.generation:
                return
        try:
            await self._writer.write(spec, await self._images.port(spec))
        except Refused as fault:
            if fault.kind == "stale":
                self._remember(spec)
            raise
        self._newer.pop(spec.appuuid, None)

    def _remember(self, spec: AppSpec) -> None:
        """What was begun is newer and not whole, so nobody would ever know its number."""
        namespace = self._cluster.namespace(spec.app)
        if namespace is not None:
            self._newer[spec.appuuid] = marks.claimed(namespace.metadata.annotations)

    async def remove(self, app: AppRef) -> None:
        """Delete the namespace, and wait until it is gone. Raises Transient when that lasts."""
        await self._cluster.present()
        found = self._cluster.namespace(app.app)
        if found is None or found.metadata.annotations.get(names.UUID) != app.appuuid:
            return
        uid = found.metadata.uid
        with refusals():
            await self._api.delete(kinds.NAMESPACE, app.app, uid=uid)

        def gone() -> bool:
            present = self._cluster.namespace(app.app)
            return present is None or present.metadata.uid != uid

        if not await _within(REMOVE_SECONDS, self._cluster.until(app.app, gone)):
            raise Transient(f"the namespace {app.app} is still being deleted")
        self._newer.pop(app.appuuid, None)

    async def clear(self, app: AppRef) -> None:
        """Delete its Deployments and forget its generation; namespace and Service stay."""
        await self._cluster.present()
        held = self._cluster.held(app.app, app.appuuid)
        if held is not None and held.deployments:
            await self._writer.clear(held)

    async def status(self, app: AppRef) -> AppStatus:
        """How far the cluster is; generation 0 also where something of it was changed by hand."""
        await self._cluster.present()
        held = self._held(app)
        if held is None:
            return AppStatus(generation=0)
        found = state.status(held, state.now(), ignore_scheduling=self._facts.ignore_scheduling)
        if not found.generation:
            newer = self._newer.get(app.appuuid, 0)
            return msgspec.structs.replace(found, generation=newer)
        if not found.failure:
            return found
        waiting = state.late(state.of_release(held, found.release), found.failure)
        failure = await events.explained(self._api, found.failure, waiting)
        return msgspec.structs.replace(found, failure=failure)

    async def instances(self, app: AppRef) -> tuple[Instance, ...]:
        """What runs now, newest first."""
        await self._cluster.present()
        held = self._cluster.held(app.app, app.appuuid)
        shown = state.instances(held.pods, state.now()) if held else ()
        return await events.created(self._api, app.app, shown)

    async def restart(self, restart: Restart) -> tuple[Instance, ...]:
        """Replace instances; returns when as many are ready, or after five minutes."""
        await self._cluster.present()
        ref = AppRef(app=restart.app, appuuid=restart.appuuid)
        before = self._running(ref, restart.type)
        named = [pod for pod in before if restart.instance in ("", pod.metadata.name)]
        if not named:
            return self._shown(ref, restart.type)[:1] if restart.instance else ()
        await self._retirement.retire(named)
        old = {pod.metadata.name for pod in named}
        await _within(
            RESTART_SECONDS,
            self._cluster.until(restart.app, lambda: self._replaced(ref, restart.type, old)),
        )
        after = self._shown(ref, restart.type)
        if not restart.instance:
            return after
        known = {pod.metadata.name for pod in before}
        return tuple(one for one in after if one.name not in known)[:1] or after[:1]

    async def run(self, task: RunTask) -> None:
        """Start a one-off pod. Raises Refused 409 `running`, 400."""
        await self._cluster.present()
        await self._runs.start(task, await self._images.port_of_run(task))

    async def build(self, task: BuildRun) -> None:
        """Start a build pod. Raises Refused 409 `running` while one of that id is there."""
        await self._builds.build(task)

    async def join_build(self, join: BuildJoin) -> None:
        """Hear a build again. Raises Refused 404 where no pod of that id is kept."""
        await self._builds.join_build(join)

    async def stop_build(self, task_id: str) -> None:
        """End a build that may still run."""
        await self._builds.stop_build(task_id)

    async def held(self) -> tuple[AppRef, ...]:
        """Every application that has a namespace; generation 0 where it is not whole."""
        await self._cluster.present()
        found = []
        for name, namespace in list(self._cluster.namespaces.items.items()):
            appuuid = namespace.metadata.annotations.get(names.UUID, "")
            held = self._held(AppRef(app=name, appuuid=appuuid))
            if held is None or namespace.metadata.deletion_timestamp:
                continue
            found.append(AppRef(app=name, appuuid=appuuid, generation=state.generation(held)))
        return tuple(found)

    async def watch(self) -> AsyncGenerator[Observation, None]:
        """A nudge for everything once it is known, then one for each application that changes."""
        waiting: dict[str, None] = {}
        some = asyncio.Event()

        def tell(app: str) -> None:
            waiting[app] = None
            some.set()

        self._watchers.add(tell)
        try:
            while True:
                with contextlib.suppress(Transient):
                    await self._cluster.present()
                    break
            yield Observation()
            while True:
                await some.wait()
                some.clear()
                while waiting:
                    app = next(iter(waiting))
                    del waiting[app]
                    namespace = self._cluster.namespace(app)
                    if namespace is None:
                        yield Observation()
                        continue
                    appuuid = namespace.metadata.annotations.get(names.UUID, "")
                    yield Observation(app=app, appuuid=appuuid)
        finally:
            self._watchers.discard(tell)

    def _held(self, app: AppRef) -> state.Held | None:
        """All there is of the application, in the surroundings of now."""
        return self._cluster.held(app.app, app.appuuid, self._around.word)

    def _moved(self) -> None:
        """The API server is elsewhere: policies no longer fit."""
        self._build_policy.look()
        self._tell(EVERYTHING)

    def _tell(self, app: str) -> None:
        for watcher in tuple(self._watchers):
            watcher(app)

    def _running(self, app: AppRef, kind: str) -> list[views.Pod]:
        """Pods of that type, or of all but one-off commands, that are not leaving already."""
        held = self._cluster.held(app.app, app.appuuid)
        return [
            pod
            for pod in (held.pods if held else ())
            if pod.metadata.labels.get(names.TYPE) != names.RUN
            and kind in ("", pod.metadata.labels.get(names.TYPE))
            and not state.leaving(pod)
            and pod.status.phase not in state.HIDDEN
        ]

    def _shown(self, app: AppRef, kind: str) -> tuple[Instance, ...]:
        return state.instances(self._running(app, kind), state.now())

    def _replaced(self, app: AppRef, kind: str, old: set[str]) -> bool:
        held = self._cluster.held(app.app, app.appuuid)
        if held is None:
            return True
        counts = held.marks.counts
        wanted = sum(counts.values()) if not kind else counts.get(kind, 0)
        there = {pod.metadata.name for pod in held.pods}
        ready = [pod for pod in self._running(app, kind) if state.state_of(pod) == "up"]
        return not old & there and len(ready) >= wanted


def _says(service: views.Service, obj: objects.Object) -> bool:
    """Whether the Service has these labels and annotations."""
    meta = service.metadata
    annotations: dict[str, str] = obj["metadata"]["annotations"]
    labels: dict[str, str] = obj["metadata"]["labels"]
    return annotations.items() <= meta.annotations.items() and labels.items() <= meta.labels.items()


async def _within(seconds: float, work: Awaitable[None]) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        return False
    return True
