"""Restarts: an instance serves on until another one has taken its place (port: `restart`).

A pod that is to go loses the label by which its ReplicaSet counts it, so the ReplicaSet starts
another one at once, while the Service still leads to the old one. Who retires is deleted when as
many pods of its type are ready as are wanted. The label says so, so a controller that dies in
between leaves nothing undone: the next one goes on.
"""

import asyncio
import collections
import contextlib
from collections.abc import Iterable

from deis_bus.errors import Refused, Transient
from deis_platform.kubernetes import Conflict, Kubernetes, NotFound, kinds
from deis_platform.logs import get_logger
from deis_platform.races import unless
from deis_platform.runtime.kubernetes import names, state, views
from deis_platform.runtime.kubernetes.cluster import Cluster

log = get_logger(__name__)

PAUSE_SECONDS = 1.0


class Retirement:
    """A part: deletes retiring pods once they are replaced."""

    name = "retirement"

    def __init__(self, api: Kubernetes, cluster: Cluster) -> None:
        self._api = api
        self._cluster = cluster
        self._apps: set[str] = set()
        self._woken = asyncio.Event()
        cluster.listeners.append(self._look_at)

    async def run(self, stop: asyncio.Event) -> None:
        """Look at what changes until stopped."""
        await unless(stop, self._always())

    async def retire(self, pods: Iterable[views.Pod]) -> None:
        """Let each of them be replaced. Raises Transient; a pod that is gone is no error."""
        for pod in pods:
            meta = pod.metadata
            labels = {names.TEMPLATE_HASH: None, names.RETIRING: "true"}
            patch = {"metadata": {"labels": labels, "uid": meta.uid}}
            with contextlib.suppress(NotFound, Conflict):
                await self._api.patch(kinds.POD, meta.name, meta.namespace, patch)

    def _look_at(self, app: str) -> None:
        if self._cluster.namespace(app) is not None and any(
            names.RETIRING in pod.metadata.labels for pod in self._cluster.pods.of(app)
        ):
            self._apps.add(app)
            self._woken.set()

    async def _always(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                await self._cluster.present()
                for app in list(self._apps):
                    self._apps.discard(app)
                    await self._delete_replaced(app)
            except (Transient, Refused) as fault:
                log.warning("replaced pods stay for now", fault=str(fault))
                await asyncio.sleep(PAUSE_SECONDS)

    async def _delete_replaced(self, app: str) -> None:
        try:
            for pod in replaced(self._cluster.pods.of(app), self._cluster.deployments.of(app)):
                meta = pod.metadata
                await self._api.delete(kinds.POD, meta.name, meta.namespace, uid=meta.uid)
        except (Transient, Refused):
            self._apps.add(app)
            self._woken.set()
            raise


def replaced(pods: Iterable[views.Pod], deployments: Iterable[views.Deployment]) -> list[views.Pod]:
    """Retiring pods whose type has as many other ready pods as are wanted, or is gone itself:
    nothing owns them any more."""
    all_pods = list(pods)
    wanted = {one.metadata.labels.get(names.TYPE): one.spec.replicas for one in deployments}
    ready = collections.Counter(
        pod.metadata.labels.get(names.TYPE)
        for pod in all_pods
        if state.state_of(pod) == "up" and not state.leaving(pod)
    )
    return [
        pod
        for pod in all_pods
        if names.RETIRING in pod.metadata.labels
        and not pod.metadata.deletion_timestamp
        and ready[kind := pod.metadata.labels.get(names.TYPE)] >= wanted.get(kind, 0)
    ]
