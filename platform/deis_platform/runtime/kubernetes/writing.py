"""Writes the objects of one application: claim, Secrets, Service, Deployments, the rest.

Every write is server-side apply, so doing it twice changes nothing, and an apply that was cut off
anywhere is completed by the next one of its generation. Generations are kept apart by optimistic
locks: the namespace says which one is being written, and a Deployment is written only over one of
the same generation or an older one (two controllers at once, DESIGN 3). What slips through (a
Service, a Deployment that was not there) differs from what the newer one's marks say, and is
written again.
"""

import asyncio
import contextlib
import datetime
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from deis_bus.contracts.runtime import AppRef, AppSpec
from deis_bus.errors import Refused, Transient
from deis_platform.kubernetes import Conflict, Kubernetes, NotFound, kinds
from deis_platform.runtime.kubernetes import claims, marks, names, objects, state, views
from deis_platform.runtime.kubernetes.cluster import Cluster
from deis_platform.runtime.kubernetes.marks import Marks
from deis_platform.runtime.kubernetes.refusals import refusals
from deis_platform.runtime.kubernetes.standing import Standing
from deis_platform.runtime.kubernetes.state import Held
from deis_platform.runtime.kubernetes.surroundings import Surroundings

ATTEMPTS = 5
HEARD_SECONDS = 2.0
AT_ONCE = 5
"""Process types written in parallel (api.md 24.2)."""
Object = objects.Object
T = TypeVar("T")


class Writer:
    """One application's objects, written."""

    def __init__(self, api: Kubernetes, cluster: Cluster, around: Surroundings) -> None:
        self._api = api
        self._cluster = cluster
        self._around = around

    async def write(self, spec: AppSpec, exposed: int) -> None:
        """All objects of this generation. Raises Refused 409 `stale`, 400 for what the API server
        does not take; Transient."""
        held = self._cluster.held(spec.app, spec.appuuid)
        standing = Standing(held, spec.generation, self._around.word)
        with refusals():
            await self._begin(spec)
            written = await self._base(spec, exposed, standing)
            written |= await self._deployments(spec, exposed, standing)
            await self._leftovers(spec)
            await self._finish(spec, written, standing.around)

    async def route(self, obj: Object) -> None:
        """Annotations for the router, on a Service of our own making or a bare one."""
        app = obj["metadata"]["name"]
        with refusals():
            try:
                self._cluster.learn(await self._api.apply(obj, manager="deis-routes"))
            except Refused as fault:
                if fault.kind != "invalid" or await self._get(kinds.SERVICE, app, app):
                    raise
                raise Transient(f"the Service of {app} went away") from fault

    async def claim(self, app: AppRef) -> None:
        """Namespace and Service of an application without a release; what is there stays.

        Raises Refused 409 `foreign`, Transient while an earlier namespace is being deleted.
        """
        with refusals():
            await self._claim(app)
            bare = objects.bare_service(app.app, app.appuuid)
            with contextlib.suppress(Conflict):
                self._cluster.learn(await self._api.create(bare))

    async def clear(self, held: Held) -> None:
        """Delete the Deployments, then the marks that say what is wanted. Raises Transient."""
        app = held.namespace.metadata.name
        patch = {"metadata": {"annotations": marks.NONE}}
        with refusals():
            self._cluster.learn(await self._api.patch(kinds.NAMESPACE, app, "", patch))
            for deployment in held.deployments:
                await self._api.delete(kinds.DEPLOYMENT, deployment.metadata.name, app)

    async def _claim(self, app: AppRef) -> views.Namespace:
        return await claims.claim(
            self._api, app, self._around.facts.platform_namespace, self._cluster.learn
        )

    async def _begin(self, spec: AppSpec) -> None:
        """Claim the generation: from here on an older one is refused."""
        ref = AppRef(app=spec.app, appuuid=spec.appuuid)
        for _ in range(ATTEMPTS):
            found = (await self._claim(ref)).metadata
            if marks.claimed(found.annotations) > spec.generation:
                raise stale(spec.app, spec.generation)
            claimed = {names.CLAIMED: str(spec.generation)}
            try:
                await self._mark(spec.app, claimed, found.resource_version)
            except Conflict:
                continue
            return
        raise Transient(f"the namespace {spec.app} does not settle")

    async def _finish(self, spec: AppSpec, written: dict[str, str], around: str) -> None:
        """Mark it held, unless a newer one was claimed meanwhile."""
        until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(
            seconds=spec.deploy_timeout_seconds * objects.batches(spec, self._around.facts.nodes)
        )
        told = marks.annotations(
            Marks(
                generation=spec.generation,
                release=spec.release,
                deadline=until,
                counts={process.type: process.count for process in spec.processes},
                objects=written,
                around=around,
            )
        )
        ref = AppRef(app=spec.app, appuuid=spec.appuuid)
        known = self._cluster.namespace(spec.app)
        for _ in range(ATTEMPTS):
            found = (known or await self._claim(ref)).metadata
            if marks.claimed(found.annotations) != spec.generation:
                raise Transient(f"another generation of {spec.app} is being written")
            with contextlib.suppress(Conflict):
                await self._mark(spec.app, told, found.resource_version)
                return
            known = None
        raise Transient(f"the namespace {spec.app} does not settle")

    async def _mark(self, app: str, annotations: dict[str, str], version: str) -> None:
        patch = {"metadata": {"annotations": annotations, "resourceVersion": version}}
        self._cluster.learn(await self._api.patch(kinds.NAMESPACE, app, "", patch))

    async def _base(self, spec: AppSpec, exposed: int, standing: Standing) -> dict[str, str]:
        """Everything but Deployments; gives the words of what is there now."""
        facts = self._around.facts
        wanted = [
            objects.service(spec, exposed),
            objects.network_policy(spec.app, facts),
            *objects.budgets(spec),
        ]
        if facts.quota:
            wanted.append(objects.quota(spec.app, facts.quota))
        secrets = [objects.env_secret(spec, exposed)]
        if spec.pull_secret:
            image = spec.artifact.image
            secrets.append(objects.pull_secret(spec.app, spec.pull_secret, image))
        return await _written(
            *((one, standing.get(one), self._secret) for one in secrets),
            *((one, standing.get(one), self._put) for one in wanted),
        )

    async def _secret(self, obj: Object) -> views.View:
        """One of other content under the name of a Secret that never changes is replaced."""
        try:
            return await self._put(obj)
        except Refused as fault:
            if fault.kind != "invalid":
                raise
        meta = obj["metadata"]
        await self._api.delete(kinds.SECRET, meta["name"], meta["namespace"])
        return await self._put(obj)

    async def _put(self, obj: Object) -> views.View:
        return self._cluster.learn(await self._api.apply(obj))

    async def _deployments(self, spec: AppSpec, exposed: int, standing: Standing) -> dict[str, str]:
        """The same of Deployments."""
        slots = asyncio.Semaphore(AT_ONCE)
        facts = self._around.facts

        async def write(obj: Object) -> views.View:
            async with slots:
                return await self._deployment(obj, spec.generation)

        wanted = [objects.deployment(spec, one, facts, exposed) for one in spec.processes]
        return await _written(*((one, standing.get(one), write) for one in wanted))

    async def _deployment(self, obj: Object, generation: int) -> views.View:
        """Over what is there, unless that is of a newer generation. Raises Refused 409 `stale`."""
        meta = obj["metadata"]
        app, name = meta["namespace"], meta["name"]
        known: views.View | None = self._cluster.deployments.get(app, {}).get(name)
        for _ in range(ATTEMPTS):
            if known is not None and generation_of(known) > generation:
                raise stale(app, generation)
            versioned = obj
            if known is not None:
                version = known.metadata.resource_version
                versioned = {**obj, "metadata": {**meta, "resourceVersion": version}}
            try:
                return await self._put(versioned)
            except (Conflict, NotFound):
                pass
            except Refused as fault:
                if fault.kind != "invalid" or known is None:
                    raise
                await self._put_containers(versioned)
            known = await self._get(kinds.DEPLOYMENT, name, app)
        raise Transient(f"the Deployment {name} does not settle")

    async def _put_containers(self, obj: Object) -> None:
        """Our containers in the place of what is there: a field that was added by hand may not
        stand beside one of ours (`value` and `valueFrom`). Raises Refused where ours are wrong."""
        meta, pod = obj["metadata"], obj["spec"]["template"]["spec"]
        patch = {
            "metadata": {"resourceVersion": meta["resourceVersion"]},
            "spec": {"template": {"spec": {"containers": pod["containers"]}}},
        }
        with contextlib.suppress(Conflict, NotFound):
            await self._api.patch(kinds.DEPLOYMENT, meta["name"], meta["namespace"], patch)

    async def _get(self, kind: kinds.Kind, name: str, namespace: str) -> views.View | None:
        try:
            return await self._api.get(kind, name, namespace, view=views.View)
        except NotFound:
            return None

    async def _leftovers(self, spec: AppSpec) -> None:
        """Process types that are gone, budgets of what is single now, a quota that nobody wants any
        more, variables of old releases."""
        app, api = spec.app, self._api
        known = self._cluster.deployments.of(app)
        kept = {names.deployment(app, process.type) for process in spec.processes}
        gone = {one.metadata.name for one in known if generation_of(one) <= spec.generation} - kept
        guarded = {obj["metadata"]["name"] for obj in objects.budgets(spec)}
        select = names.SELECTOR
        sets = await api.list(kinds.REPLICA_SET, app, view=views.View, labels=select)
        loose = self._cluster.budgets.get(app, {}).keys() - guarded
        limited = {names.quota(app)} if self._around.facts.quota else set()
        free = self._cluster.quotas.get(app, {}).keys() - limited
        used = {spec.release} | {
            names.release_of(one.metadata.labels)
            for one in (*sets.items, *self._cluster.pods.of(app))
        }
        old = old_secrets(self._cluster.secrets.of(app), used)
        await _together(
            *(api.delete(kinds.DEPLOYMENT, name, app) for name in gone),
            *(api.delete(kinds.DISRUPTION_BUDGET, name, app) for name in loose),
            *(api.delete(kinds.QUOTA, name, app) for name in free),
            *(api.delete(kinds.SECRET, name, app) for name in old),
        )
        await self._heard_gone(app, gone)

    async def _heard_gone(self, app: str, deployments: set[str]) -> None:
        """Wait until the watch tells their end: until then they seem to be beside what is wanted,
        and all would be written once more."""
        known = self._cluster.deployments
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEARD_SECONDS):
                await self._cluster.until(app, lambda: not deployments & known.get(app, {}).keys())


def old_secrets(secrets: Sequence[views.View], used: set[int]) -> set[str]:
    """Variables of releases that nothing can go back to: no pod and no ReplicaSet has them."""
    return {
        one.metadata.name
        for one in secrets
        if one.metadata.labels.get(names.TYPE) == "env"
        and names.release_of(one.metadata.labels) not in used
    }


def generation_of(deployment: views.View) -> int:
    """The generation that wrote it."""
    return marks.number(deployment.metadata.annotations.get(names.GENERATION, ""))


def stale(app: str, generation: int) -> Refused:
    """That a newer generation was written, or is."""
    return Refused(409, f"generation {generation} of {app} is old", "stale")


async def _written(
    *works: tuple[Object, views.View | None, Callable[[Object], Awaitable[views.View]]],
) -> dict[str, str]:
    """Each object written in the way beside it, unless there is a view of it: then it stands.
    Gives the words of all of them."""

    async def word(
        obj: Object, there: views.View | None, write: Callable[[Object], Awaitable[views.View]]
    ) -> tuple[str, str]:
        view = there if there is not None else await write(obj)
        return state.key(obj["kind"], obj["metadata"]["name"]), marks.word(view)

    return dict(await _together(*(word(*work) for work in works)))


async def _together(*works: Awaitable[T]) -> list[T]:
    """All of them; the first fault is raised once all have ended. Gives what they gave."""
    outcomes = await asyncio.gather(*works, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [one for one in outcomes if not isinstance(one, BaseException)]
