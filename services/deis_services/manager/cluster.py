"""The platform's workloads on Kubernetes, mirrored: what is installed, what crashes, what is old."""

import asyncio
from collections.abc import Callable, Iterable

import msgspec

from deis_bus.clock import timestamp
from deis_bus.contracts.components import ComponentState
from deis_bus.errors import BusError
from deis_bus.events import Event
from deis_platform.kubernetes import Kubernetes, Mirror, View, kinds
from deis_platform.kubernetes.kinds import Kind
from deis_platform.logs import get_logger
from deis_platform.races import unless
from deis_platform.runner import Part
from deis_platform.runtime.kubernetes.views import PodStatus
from deis_services.manager import model
from deis_services.manager.feed import Feed
from deis_services.manager.model import PodState, Told, Workload

log = get_logger(__name__)

VERSION = "component.deis.io/version"
SELECTOR = "heritage=deis"
GATHER_SECONDS = 1.0
"""Changes come in swarms: one look for all of them."""
WORKLOADS = (kinds.DEPLOYMENT, kinds.STATEFUL_SET, kinds.DAEMON_SET)


class _Container(msgspec.Struct, frozen=True):
    image: str = ""


class _PodSpec(msgspec.Struct, frozen=True):
    containers: tuple[_Container, ...] = ()


class _Template(msgspec.Struct, frozen=True):
    spec: _PodSpec = _PodSpec()


class _Spec(msgspec.Struct, frozen=True):
    template: _Template = _Template()
    replicas: int = 1


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    ready_replicas: int = 0
    number_ready: int = 0
    desired_number_scheduled: int = 0


class _Workload(View, frozen=True):
    spec: _Spec = _Spec()
    status: _Status = _Status()


class _Pod(View, frozen=True):
    status: PodStatus = PodStatus()


class Cluster:
    """A part: looks after each change, tells what is new, keeps what is there for who asks."""

    name = "cluster"

    def __init__(
        self,
        api: Kubernetes,
        feed: Feed,
        expected: Iterable[str],
        tell: Callable[[Event], None],
    ) -> None:
        self._api = api
        self._feed = feed
        self._expected = tuple(expected)
        self._tell = tell
        self._told = Told()
        self._moved = asyncio.Event()
        self._mirrors = {kind: self._mirror(kind, _Workload) for kind in WORKLOADS}
        self._pods = self._mirror(kinds.POD, _Pod)

    @property
    def parts(self) -> tuple[Part, ...]:
        """What has to run."""
        return (*self._mirrors.values(), self._pods, self)

    async def run(self, stop: asyncio.Event) -> None:
        """Look until stopped."""
        await unless(stop, self._always())

    def states(self) -> tuple[ComponentState, ...]:
        """Every component that is installed or should be, by name."""
        pods = self._pod_states()
        found = {
            one.component: model.state(one, pods, self._feed.latest) for one in self._workloads()
        }
        for name in self._expected:
            found.setdefault(name, model.absent(name))
        return tuple(found[name] for name in sorted(found))

    async def _always(self) -> None:
        for mirror in (*self._mirrors.values(), self._pods):
            await mirror.synced.wait()
        while True:
            await self._look()
            await self._moved.wait()
            self._moved.clear()
            await asyncio.sleep(GATHER_SECONDS)

    async def _look(self) -> None:
        states = self.states()
        silent = {one.name for one in states} - set(self._expected)
        events = [
            *self._told.crashes(self._pod_states()),
            *self._told.missing(states, silent),
            *self._told.outdated(states),
        ]
        for event in events:
            self._tell(event)
            await self._show(event)

    async def _show(self, event: Event) -> None:
        """The same as an event of Kubernetes, for `kubectl describe`."""
        component = str(getattr(event, "component", ""))
        found = next((one for one in self._workloads() if one.component == component), None)
        if found is None:
            return
        try:
            await self._api.create(shown(event, found, self._api.namespace))
        except BusError as fault:
            log.warning("an event is not shown", fault=str(fault))

    def _workloads(self) -> list[Workload]:
        return [
            _workload(kind, view)
            for kind, mirror in self._mirrors.items()
            for view in mirror.items.values()
        ]

    def _pod_states(self) -> list[PodState]:
        return [_pod(view) for view in self._pods.items.values() if _app(view)]

    def _mirror(self, kind: Kind, view: type[View]) -> Mirror:  # type: ignore[type-arg]
        return Mirror(
            self._api,
            kind,
            view,
            namespace=self._api.namespace,
            labels=SELECTOR,
            heard=lambda _key, _old, _new: self._moved.set(),
        )


def shown(event: Event, workload: Workload, namespace: str) -> dict[str, object]:
    """An event of Kubernetes about a workload."""
    now = timestamp()
    words = ", ".join(f"{k} {v}" for k, v in msgspec.structs.asdict(event).items() if v)
    reason = "".join(part.capitalize() for part in event.TYPE.split("."))
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{workload.name}.", "namespace": namespace},
        "involvedObject": {
            "apiVersion": "apps/v1",
            "kind": workload.kind,
            "name": workload.name,
            "namespace": namespace,
        },
        "type": "Warning",
        "reason": reason,
        "message": words,
        "source": {"component": "deis-workflow-manager"},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }


def _app(view: View) -> str:
    return view.metadata.labels.get("app", "")


def _workload(kind: Kind, view: _Workload) -> Workload:
    meta = view.metadata
    daemon = kind is kinds.DAEMON_SET
    images = [container.image for container in view.spec.template.spec.containers]
    return Workload(
        component=model.component_of(meta.name),
        kind=kind.kind,
        name=meta.name,
        version=meta.annotations.get(VERSION, ""),
        image=images[0] if images else "",
        wanted=view.status.desired_number_scheduled if daemon else view.spec.replicas,
        ready=view.status.number_ready if daemon else view.status.ready_replicas,
    )


def _pod(view: _Pod) -> PodState:
    statuses = view.status.container_statuses
    ends = [one.last_state.terminated or one.state.terminated for one in statuses]
    end = next((one for one in ends if one is not None), None)
    waiting = [one.state.waiting for one in statuses if one.state.waiting is not None]
    return PodState(
        component=model.component_of(_app(view)),
        name=view.metadata.name,
        restarts=sum(one.restart_count for one in statuses),
        crashing=any(one.reason == "CrashLoopBackOff" for one in waiting),
        reason="" if end is None else end.reason or f"exit code {end.exit_code}",
    )
