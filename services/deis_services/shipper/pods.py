"""Which pods of this node are applications': told by the API server, never by names of files.

A pod counts by its labels, and only in a namespace that carries `heritage=deis` and the
application's identity: labels of pods are free to everybody who may make one.
"""

from collections.abc import Callable

from deis_platform.kubernetes import Kubernetes, Mirror, View, kinds
from deis_platform.runner import Part
from deis_services.shipper.model import APP_UUID, Pod, app_pod

HERITAGE = "heritage=deis"
Told = Callable[[Pod], None]


class Pods:
    """The pods of `node`; `known` and `forgotten` are called as they come, change and go."""

    def __init__(self, api: Kubernetes, node: str, known: Told, forgotten: Told) -> None:
        self._known = known
        self._forgotten = forgotten
        self._told: dict[str, Pod] = {}
        self._pods = Mirror(
            api,
            kinds.POD,
            View,
            labels=f"{HERITAGE},app",
            fields=f"spec.nodeName={node}",
            heard=self._pod_heard,
        )
        self._namespaces = Mirror(
            api, kinds.NAMESPACE, View, labels=HERITAGE, heard=self._namespace_heard
        )

    def parts(self) -> list[Part]:
        """What keeps them up to date."""
        return [self._namespaces, self._pods]

    async def ready(self) -> bool:
        """Whether the pods were heard of once."""
        return self._namespaces.synced.is_set() and self._pods.synced.is_set()

    def _namespace_heard(self, name: str, _old: View | None, _new: View | None) -> None:
        for key, view in self._pods.items.items():
            if view.metadata.namespace == name:
                self._judge(key, view)

    def _pod_heard(self, key: str, old: View | None, new: View | None) -> None:
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self._forget(key)
        if new is not None:
            self._judge(key, new)

    def _judge(self, key: str, view: View) -> None:
        told = self._told.get(key)
        meta = view.metadata
        namespace = self._namespaces.items.get(meta.namespace)
        owner = namespace.metadata.annotations.get(APP_UUID, "") if namespace else ""
        pod = app_pod(meta.namespace, meta.name, meta.uid, meta.labels, meta.annotations, owner)
        if pod is None:
            self._forget(key)
        elif pod != told:
            self._told[key] = pod
            self._known(pod)

    def _forget(self, key: str) -> None:
        pod = self._told.pop(key, None)
        if pod is not None:
            self._forgotten(pod)
