"""What the cluster holds of our applications, mirrored in memory and sorted by application."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from deis_bus.errors import Transient
from deis_platform.kubernetes import Kubernetes, Mirror, kinds
from deis_platform.runner import Part
from deis_platform.runtime.kubernetes import names, views
from deis_platform.runtime.kubernetes.state import Held, key

V = TypeVar("V", bound=views.View)
PodHeard = Callable[[views.Pod | None, views.Pod | None], None]
SYNC_SECONDS = 10.0
WRITTEN: Mapping[kinds.Kind, type[views.View]] = {
    kinds.SERVICE: views.Service,
    kinds.DEPLOYMENT: views.Deployment,
    kinds.SECRET: views.Secret,
    kinds.NETWORK_POLICY: views.View,
    kinds.DISRUPTION_BUDGET: views.View,
    kinds.QUOTA: views.Quota,
}
"""The kinds that are written for an application, and what is kept of them."""


class Group(dict[str, dict[str, V]]):
    """Views by namespace and name."""

    def put(self, namespace: str, name: str, view: V | None) -> None:
        """Keep it, or forget it for None."""
        if view is not None:
            self.setdefault(namespace, {})[name] = view
            return
        inside = self.get(namespace, {})
        inside.pop(name, None)
        if not inside:
            self.pop(namespace, None)

    def of(self, namespace: str) -> list[V]:
        """All of a namespace."""
        return list(self.get(namespace, {}).values())


async def read_once(mirrors: Iterable[Mirror[Any]]) -> None:
    """Wait until each was read once. Raises Transient when that takes too long."""
    waits = [mirror.synced for mirror in mirrors]
    if all(event.is_set() for event in waits):
        return
    try:
        async with asyncio.timeout(SYNC_SECONDS):
            for event in waits:
                await event.wait()
    except TimeoutError:
        raise Transient("the cluster's objects were not read yet") from None


class Cluster:
    """Mirrors of our namespaces, of pods, and of every kind that is written for an application.

    Those of another platform in this cluster may be among them; whose an application is, its
    namespace says. Each listener hears the application of everything that changes, after it was
    taken in, and nothing of another platform's.
    """

    def __init__(self, api: Kubernetes, platform: str) -> None:
        self.listeners: list[Callable[[str], None]] = []
        self.services: Group[views.Service] = Group()
        self.deployments: Group[views.Deployment] = Group()
        self.pods: Group[views.Pod] = Group()
        self.secrets: Group[views.Secret] = Group()
        self.budgets: Group[views.View] = Group()
        self.quotas: Group[views.Quota] = Group()
        self._groups: dict[str, Group[Any]] = {
            "Service": self.services,
            "Deployment": self.deployments,
            "Secret": self.secrets,
            "NetworkPolicy": Group(),
            "PodDisruptionBudget": self.budgets,
            "ResourceQuota": self.quotas,
        }
        self._written: dict[str, Mirror[Any]] = {
            kind.kind: Mirror(
                api, kind, view, labels=names.SELECTOR, heard=self._into(self._groups[kind.kind])
            )
            for kind, view in WRITTEN.items()
        }
        self.namespaces = Mirror(
            api,
            kinds.NAMESPACE,
            views.Namespace,
            labels=f"{names.PLATFORM}={platform}",
            heard=self._namespace,
        )
        self.pod_heard: PodHeard = lambda _old, _new: None
        self._pods = Mirror(api, kinds.POD, views.Pod, labels=names.SELECTOR, heard=self._pod)

    @property
    def _mirrors(self) -> tuple[Mirror[Any], ...]:
        return (self.namespaces, self._pods, *self._written.values())

    @property
    def parts(self) -> tuple[Part, ...]:
        """What has to run."""
        return self._mirrors

    async def present(self) -> None:
        """Wait until everything was read once. Raises Transient when that takes too long."""
        await read_once(self._mirrors)

    def learn(self, obj: dict[str, Any]) -> views.View:
        """Take in the answer to a write of ours, so that it is seen at once; gives its view."""
        kind = str(obj["kind"])
        mirror: Mirror[Any] = self.namespaces if kind == "Namespace" else self._written[kind]
        view: views.View = mirror.learn(obj)
        return view

    def learn_pod(self, obj: dict[str, object]) -> None:
        """The same for a pod."""
        self._pods.learn(obj)

    async def until(self, app: str, true: Callable[[], bool], again: float | None = None) -> None:
        """Wait until it is true: looked at after each change of the application, and every
        `again` seconds where time itself may make it true."""
        moved = asyncio.Event()

        def tell(changed: str) -> None:
            if changed == app:
                moved.set()

        self.listeners.append(tell)
        try:
            while not true():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(again):
                        await moved.wait()
                moved.clear()
        finally:
            self.listeners.remove(tell)

    def namespace(self, app: str) -> views.Namespace | None:
        """The application's namespace, if it is one of ours."""
        return self.namespaces.items.get(app)

    def written(self, kind: str, app: str, name: str) -> views.View | None:
        """One of the application's objects."""
        found: views.View | None = self._groups[kind].get(app, {}).get(name)
        return found

    def held(self, app: str, appuuid: str, around: str = "") -> Held | None:
        """All there is of this application, in these surroundings (empty: not known); None where
        its namespace is not there."""
        namespace = self.namespace(app)
        if namespace is None or namespace.metadata.annotations.get(names.UUID) != appuuid:
            return None
        return Held(
            namespace=namespace,
            service=self.services.get(app, {}).get(app),
            deployments=self.deployments.of(app),
            pods=self.pods.of(app),
            objects={
                key(kind, name): view
                for kind, group in self._groups.items()
                for name, view in group.get(app, {}).items()
            },
            around=around,
        )

    def _namespace(
        self, key: str, _old: views.Namespace | None, _new: views.Namespace | None
    ) -> None:
        self._changed(key)

    def _pod(self, key: str, old: views.Pod | None, new: views.Pod | None) -> None:
        pod = new or old
        ours = pod is not None and self.namespace(pod.metadata.namespace) is not None
        if ours and self._pods.synced.is_set():  # what is there at the start is no news
            self.pod_heard(old, new)
        self._into(self.pods)(key, old, new)

    def _into(self, group: Group[V]) -> Callable[[str, V | None, V | None], None]:
        def heard(key: str, _old: V | None, new: V | None) -> None:
            namespace, _, name = key.partition("/")
            group.put(namespace, name, new)
            if self.namespace(namespace) is not None:
                self._changed(namespace)

        return heard

    def _changed(self, namespace: str) -> None:
        for listener in tuple(self.listeners):
            listener(namespace)
