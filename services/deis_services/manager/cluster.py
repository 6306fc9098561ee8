"""The platform's workloads on Kubernetes, mirrored: what is installed, what crashes, what is old."""

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

from deis_bus.contracts.components import ComponentState
from deis_bus.events import Event
from deis_platform.kubernetes import Kubernetes, Mirror, View, kinds
from deis_platform.kubernetes.kinds import Kind
from deis_platform.races import unless
from deis_platform.runner import Part
from deis_services.manager import model, views
from deis_services.manager.feed import Feed
from deis_services.manager.model import PodState, Workload
from deis_services.manager.shown import Shown
from deis_services.manager.told import Told

V = TypeVar("V", bound=View)
SELECTOR = "heritage=deis"
GATHER_SECONDS = 1.0
"""Changes come in swarms: one look for all of them."""
WORKLOADS = (kinds.DEPLOYMENT, kinds.STATEFUL_SET, kinds.DAEMON_SET)


class Cluster:
    """A part: looks after each change, tells what is new, keeps what is there for who asks.

    `expected` should be installed; `heard` of them answer on the bus, where somebody else misses
    them.
    """

    name = "cluster"

    def __init__(
        self,
        api: Kubernetes,
        feed: Feed,
        tell: Callable[[Event], None],
        *,
        expected: Iterable[str],
        heard: Iterable[str],
    ) -> None:
        self.shown = Shown(api, self._workload)
        self._api = api
        self._feed = feed
        self._expected = tuple(expected)
        self._heard = frozenset(heard)
        self._tell = tell
        self._told = Told()
        self._moved = asyncio.Event()
        self._mirrors = {kind: self._mirror(kind, views.WorkloadView) for kind in WORKLOADS}
        self._pods = self._mirror(kinds.POD, views.PodView)
        self._synced = [*(one.synced for one in self._mirrors.values()), self._pods.synced]
        feed.listeners.append(self._moved.set)

    @property
    def parts(self) -> tuple[Part, ...]:
        """What has to run."""
        return (*self._mirrors.values(), self._pods, self, self.shown)

    async def run(self, stop: asyncio.Event) -> None:
        """Look until stopped."""
        await unless(stop, self._always())

    def states(self) -> tuple[ComponentState, ...]:
        """Every component that is installed or should be, by name; none before the first look."""
        if not all(synced.is_set() for synced in self._synced):
            return ()
        pods = self._pod_states()
        found = {
            one.component: model.state(one, pods, self._feed.latest) for one in self._workloads()
        }
        for name in self._expected:
            found.setdefault(name, model.absent(name))
        return tuple(found[name] for name in sorted(found))

    async def _always(self) -> None:
        for synced in self._synced:
            await synced.wait()
        while True:
            self._look()
            await self._moved.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._moved.clear()

    def _look(self) -> None:
        states = self.states()
        silent = {one.name for one in states} - self._heard
        for event in self._told.look(states, self._pod_states(), silent):
            self._tell(event)

    def _workload(self, component: str) -> Workload | None:
        return next((one for one in self._workloads() if one.component == component), None)

    def _workloads(self) -> list[Workload]:
        return [
            views.workload(kind, view)
            for kind, mirror in self._mirrors.items()
            for view in mirror.items.values()
        ]

    def _pod_states(self) -> list[PodState]:
        found = (views.pod(view) for view in self._pods.items.values())
        return [pod for pod in found if pod is not None]

    def _mirror(self, kind: Kind, view: type[V]) -> Mirror[V]:
        return Mirror(
            self._api,
            kind,
            view,
            namespace=self._api.namespace,
            labels=SELECTOR,
            heard=lambda _key, _old, _new: self._moved.set(),
        )
