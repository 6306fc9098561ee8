"""Writes the objects of one application: claim, secrets, Service, Deployments, the rest.

Every write is server-side apply, so doing it twice changes nothing. Generations are kept apart
by optimistic locks: the namespace says which one is being written, and a Deployment is written
only over one of the same generation or an older one (two controllers at once, DESIGN 3).
"""

import asyncio
import datetime
from collections.abc import Awaitable, Iterable

import msgspec

from deis_bus.contracts.runtime import AppRef, AppSpec, Process
from deis_bus.errors import Refused, Transient
from deis_platform.kubernetes import Conflict, Forbidden, Kubernetes, NotFound, kinds
from deis_platform.runtime.kubernetes import names, objects, views
from deis_platform.runtime.kubernetes.cluster import Cluster
from deis_platform.runtime.kubernetes.facts import Facts
from deis_platform.runtime.kubernetes.state import Held, number

ATTEMPTS = 5
AT_ONCE = 5
"""Process types written in parallel (api.md 24.2)."""
Object = objects.Object


class Writer:
    """One application's objects, written."""

    def __init__(self, api: Kubernetes, cluster: Cluster) -> None:
        self._api = api
        self._cluster = cluster

    async def claim(self, app: AppRef) -> views.Namespace:
        """The namespace, made where there is none. Raises Refused 409 `foreign` when somebody
        else has one of that name, Transient while an old one is still being deleted."""
        for _ in range(ATTEMPTS):
            try:
                found = await self._api.get(kinds.NAMESPACE, app.app, view=views.Namespace)
            except NotFound:
                try:
                    made = await self._api.create(objects.namespace(app.app, app.appuuid))
                except Conflict:
                    continue
                self._cluster.learn(made)
                return msgspec.convert(made, views.Namespace, strict=False)
            return self._own(found, app)
        raise Transient(f"the namespace {app.app} comes and goes")

    def _own(self, found: views.Namespace, app: AppRef) -> views.Namespace:
        meta = found.metadata
        if meta.deletion_timestamp or found.status.phase == "Terminating":
            raise Transient(f"the namespace {app.app} is still being deleted")
        if meta.labels.get(names.HERITAGE) != names.OURS or names.UUID not in meta.annotations:
            raise Refused(
                409, f"{app.app} already exists as a namespace in this kuberenetes setup", "foreign"
            )
        if meta.annotations[names.UUID] != app.appuuid:
            raise Transient(f"the namespace {app.app} still holds an earlier application")
        return found

    async def write(self, spec: AppSpec, facts: Facts, exposed: int) -> None:
        """All objects of this generation. Raises Refused 409 `stale`, 400 for what the API server
        does not take; Transient."""
        try:
            await self._begin(spec)
            await self._base(spec, facts, exposed)
            await self._deployments(spec, facts, exposed)
            await self._leftovers(spec)
            await self._finish(spec)
        except Forbidden as fault:
            if fault.kind == "terminating":
                raise Transient(fault.detail) from fault
            raise Refused(400, fault.detail, fault.kind) from fault
        except (NotFound, Conflict) as fault:
            # The namespace went away meanwhile, or another writer is as busy as we are.
            raise Transient(fault.detail) from fault

    async def route(self, obj: Object) -> None:
        """Annotations for the router, on a Service of our own making or a bare one."""
        app = obj["metadata"]["name"]
        self._cluster.learn(await self._api.apply(obj, manager="deis-routes"))
        if app not in self._cluster.services.get(app, {}):
            raise Transient(f"the Service of {app} is not there yet")

    async def bare_service(self, app: AppRef) -> None:
        """The Service as it is before the first release."""
        selector = names.labels(app.app)
        obj = objects.bare_service(app.app, app.appuuid, selector, names.SLUG_PORT)
        self._cluster.learn(await self._api.apply(obj))

    async def clear(self, held: Held) -> None:
        """Delete the Deployments, then the marks that say what is wanted. Raises Transient."""
        app = held.namespace.metadata.name
        marks: Object = dict.fromkeys((names.GENERATION, names.RELEASE, names.WANTED))
        patch = {"metadata": {"annotations": marks}}
        self._cluster.learn(await self._api.patch(kinds.NAMESPACE, app, "", patch))
        for deployment in held.deployments:
            await self._api.delete(kinds.DEPLOYMENT, deployment.metadata.name, app)

    async def _begin(self, spec: AppSpec) -> None:
        """Claim the generation: from here on an older one is refused."""
        ref = AppRef(app=spec.app, appuuid=spec.appuuid)
        for _ in range(ATTEMPTS):
            found = (await self.claim(ref)).metadata
            if number(found.annotations.get(names.CLAIMED, "")) > spec.generation:
                raise Refused(409, f"generation {spec.generation} of {spec.app} is old", "stale")
            marks = {names.CLAIMED: str(spec.generation)}
            try:
                await self._mark(spec.app, marks, found.resource_version)
            except Conflict:
                continue
            return
        raise Transient(f"the namespace {spec.app} does not settle")

    async def _finish(self, spec: AppSpec) -> None:
        until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(
            seconds=spec.deploy_timeout_seconds
        )
        counts = {process.type: process.count for process in spec.processes}
        marks = {
            names.GENERATION: str(spec.generation),
            names.RELEASE: str(spec.release),
            names.DEADLINE: until.isoformat(timespec="seconds"),
            names.WANTED: msgspec.json.encode(counts).decode(),
        }
        namespace = self._cluster.namespace(spec.app)
        claimed = namespace.metadata.annotations.get(names.CLAIMED, "") if namespace else ""
        if claimed != str(spec.generation):
            raise Transient(f"another generation of {spec.app} is being written")
        version = namespace.metadata.resource_version if namespace else ""
        await self._mark(spec.app, marks, version)

    async def _mark(self, app: str, marks: dict[str, str], version: str) -> None:
        patch = {"metadata": {"annotations": marks, "resourceVersion": version}}
        self._cluster.learn(await self._api.patch(kinds.NAMESPACE, app, "", patch))

    async def _base(self, spec: AppSpec, facts: Facts, exposed: int) -> None:
        wanted = [
            objects.service(spec, exposed),
            objects.network_policy(spec.app, facts),
            *self._budgets(spec),
        ]
        if facts.quota:
            wanted.append(objects.quota(spec.app, facts.quota))
        if spec.pull_secret:
            image = spec.artifact.image
            wanted.append(objects.pull_secret(spec.app, spec.pull_secret, image))
        await _together(
            self._secret(objects.env_secret(spec, exposed)), *(self._put(one) for one in wanted)
        )

    def _budgets(self, spec: AppSpec) -> list[Object]:
        several = [process for process in spec.processes if process.count > 1]
        return [objects.disruption_budget(spec.app, process) for process in several]

    async def _secret(self, obj: Object) -> None:
        """A Secret that never changes; one of other content under that name is replaced."""
        try:
            await self._put(obj)
        except Refused as fault:
            if fault.kind != "invalid":
                raise
            meta = obj["metadata"]
            await self._api.delete(kinds.SECRET, meta["name"], meta["namespace"])
            await self._put(obj)

    async def _put(self, obj: Object) -> None:
        self._cluster.learn(await self._api.apply(obj))

    async def _deployments(self, spec: AppSpec, facts: Facts, exposed: int) -> None:
        slots = asyncio.Semaphore(AT_ONCE)

        async def write(process: Process) -> None:
            async with slots:
                await self._deployment(
                    objects.deployment(spec, process, facts, exposed), spec.generation
                )

        await _together(*(write(process) for process in spec.processes))

    async def _deployment(self, obj: Object, generation: int) -> None:
        """Over what is there, unless that is of a newer generation. Raises Refused 409 `stale`."""
        meta = obj["metadata"]
        app, name = meta["namespace"], meta["name"]
        known = self._cluster.deployments.get(app, {}).get(name)
        for _ in range(ATTEMPTS):
            if known is not None and _generation(known) > generation:
                raise Refused(409, f"generation {generation} of {app} is old", "stale")
            versioned = obj
            if known is not None:
                version = known.metadata.resource_version
                versioned = {**obj, "metadata": {**meta, "resourceVersion": version}}
            try:
                await self._put(versioned)
            except (Conflict, NotFound):
                known = await self._present(app, name)
                continue
            return
        raise Transient(f"the Deployment {name} does not settle")

    async def _present(self, app: str, name: str) -> views.Deployment | None:
        try:
            return await self._api.get(kinds.DEPLOYMENT, name, app, view=views.Deployment)
        except NotFound:
            return None

    async def _leftovers(self, spec: AppSpec) -> None:
        """Process types that are gone, budgets of what is single now, variables of old releases."""
        kept = {names.deployment(spec.app, process.type) for process in spec.processes}
        several = {names.deployment(spec.app, one.type) for one in spec.processes if one.count > 1}
        known = self._cluster.deployments.of(spec.app)
        gone = {one.metadata.name for one in known if _generation(one) <= spec.generation} - kept
        single = {one.metadata.name for one in known} - several
        used = {names.release_of(pod.metadata.labels) for pod in self._cluster.pods.of(spec.app)}
        used |= {names.release_of(one.spec.template.metadata.labels) for one in known}
        await _together(
            *(self._api.delete(kinds.DEPLOYMENT, name, spec.app) for name in gone),
            *(self._api.delete(kinds.DISRUPTION_BUDGET, name, spec.app) for name in single),
            *self._old_secrets(spec, used | {spec.release}),
        )

    def _old_secrets(self, spec: AppSpec, used: set[int]) -> Iterable[Awaitable[object]]:
        for secret in self._cluster.secrets.of(spec.app):
            meta = secret.metadata
            if meta.labels.get(names.TYPE) == "env" and names.release_of(meta.labels) not in used:
                yield self._api.delete(kinds.SECRET, meta.name, spec.app)


def _generation(deployment: views.Deployment) -> int:
    return number(deployment.metadata.annotations.get(names.GENERATION, ""))


async def _together(*works: Awaitable[object]) -> None:
    """All of them; the first fault is raised once all have ended."""
    for outcome in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
