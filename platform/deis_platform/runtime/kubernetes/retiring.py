"""Restarts: an instance serves on until another one has taken its place (port: `restart`).

A pod that is to go loses the label by which its ReplicaSet counts it, so the ReplicaSet starts
another one at once, while the Service still leads to the old one. Who retires is deleted when as
many pods of its type are ready as are wanted. The label says so, so a controller that dies in
between leaves nothing undone: the next one goes on.
"""

import asyncio
from collections.abc import Iterable

from deis_bus.errors import BusError
from deis_platform.kubernetes import Kubernetes, kinds
from deis_platform.logs import get_logger
from deis_platform.races import unless
from deis_platform.runtime.kubernetes import names, state, views
from deis_platform.runtime.kubernetes.cluster import Cluster

log = get_logger(__name__)


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
        """Let each of them be replaced. Raises Transient, Refused; a pod that is gone is none."""
        for pod in pods:
            meta = pod.metadata
            labels = {names.TEMPLATE_HASH: None, names.RETIRING: "true"}
            patch = {"metadata": {"labels": labels, "uid": meta.uid}}
            await self._api.patch(kinds.POD, meta.name, meta.namespace, patch)

    def _look_at(self, app: str) -> None:
        if any(names.RETIRING in pod.metadata.labels for pod in self._cluster.pods.of(app)):
            self._apps.add(app)
            self._woken.set()

    async def _always(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            for app in list(self._apps):
                self._apps.discard(app)
                for pod in replaced(self._cluster.pods.of(app), self._cluster.deployments.of(app)):
                    await self._delete(pod)

    async def _delete(self, pod: views.Pod) -> None:
        meta = pod.metadata
        try:
            await self._api.delete(kinds.POD, meta.name, meta.namespace, uid=meta.uid)
        except BusError as fault:
            log.warning("a replaced pod stays for now", pod=meta.name, fault=str(fault))
            self._apps.add(meta.namespace)


def replaced(pods: Iterable[views.Pod], deployments: Iterable[views.Deployment]) -> list[views.Pod]:
    """Retiring pods whose type has as many other ready pods as are wanted."""
    all_pods = list(pods)
    found = []
    for deployment in deployments:
        kind = deployment.metadata.labels.get(names.TYPE, "")
        own = [pod for pod in all_pods if pod.metadata.labels.get(names.TYPE) == kind]
        leaving = [pod for pod in own if names.RETIRING in pod.metadata.labels]
        ready = sum(state.state_of(pod) == "up" for pod in own if pod not in leaving)
        if ready >= deployment.spec.replicas:
            found += [pod for pod in leaving if not pod.metadata.deletion_timestamp]
    return found
