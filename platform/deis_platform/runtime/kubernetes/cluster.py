"""What the cluster holds of our applications, mirrored in memory and sorted by application."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import TypeVar

from deis_bus.errors import Transient
from deis_platform.kubernetes import Kubernetes, Mirror, kinds
from deis_platform.runner import Part
from deis_platform.runtime.kubernetes import names, views
from deis_platform.runtime.kubernetes.state import Held

V = TypeVar("V", bound=views.View)
PodHeard = Callable[[views.Pod | None, views.Pod | None], None]
SYNC_SECONDS = 10.0


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


class Cluster:
    """Mirrors of our namespaces, and of Services, Deployments, pods and the names of Secrets.

    Those of another platform in this cluster may be among them; whose an application is, its
    namespace says. Each listener hears the application of everything that changes, after it was
    taken in, and nothing of another platform's.
    """

    def __init__(self, api: Kubernetes, platform: str) -> None:
        self.listeners: list[Callable[[str], None]] = []
        self.services: Group[views.Service] = Group()
        self.deployments: Group[views.Deployment] = Group()
        self.pods: Group[views.Pod] = Group()
        self.secrets: Group[views.View] = Group()
        select = names.SELECTOR
        self.namespaces = Mirror(
            api,
            kinds.NAMESPACE,
            views.Namespace,
            labels=f"{names.PLATFORM}={platform}",
            heard=self._namespace,
        )
        self._services = Mirror(
            api, kinds.SERVICE, views.Service, labels=select, heard=self._into(self.services)
        )
        self._deployments = Mirror(
            api,
            kinds.DEPLOYMENT,
            views.Deployment,
            labels=select,
            heard=self._into(self.deployments),
        )
        self.pod_heard: PodHeard = lambda _old, _new: None
        self._pods = Mirror(api, kinds.POD, views.Pod, labels=select, heard=self._pod)
        self._secrets = Mirror(
            api, kinds.SECRET, views.View, labels=select, heard=self._into(self.secrets)
        )

    @property
    def parts(self) -> tuple[Part, ...]:
        """What has to run."""
        return (self.namespaces, self._services, self._deployments, self._pods, self._secrets)

    @property
    def mirrors(self) -> dict[str, Mirror[views.Service] | Mirror[views.Deployment]]:
        """The mirrors that learn from our own writes."""
        return {"Service": self._services, "Deployment": self._deployments}

    async def present(self) -> None:
        """Wait until everything was read once. Raises Transient when that takes too long."""
        waits = [mirror.synced for mirror in (self.namespaces, self._services, self._deployments,
                                              self._pods, self._secrets)]  # fmt: skip
        if all(event.is_set() for event in waits):
            return
        try:
            async with asyncio.timeout(SYNC_SECONDS):
                for event in waits:
                    await event.wait()
        except TimeoutError:
            raise Transient("the cluster's objects were not read yet") from None

    def learn(self, obj: dict[str, object]) -> None:
        """Take in the answer to a write of ours, so that it is seen at once."""
        kind = str(obj["kind"])
        if kind == "Namespace":
            self.namespaces.learn(obj)
        elif kind == "Secret":
            self._secrets.learn(obj)
        elif kind in self.mirrors:
            self.mirrors[kind].learn(obj)

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

    def held(self, app: str, appuuid: str) -> Held | None:
        """All there is of this application; None where its namespace is not there."""
        namespace = self.namespace(app)
        if namespace is None or namespace.metadata.annotations.get(names.UUID) != appuuid:
            return None
        return Held(
            namespace=namespace,
            service=self.services.get(app, {}).get(app),
            deployments=self.deployments.of(app),
            pods=self.pods.of(app),
            secrets=frozenset(self.secrets.get(app, {})),
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
