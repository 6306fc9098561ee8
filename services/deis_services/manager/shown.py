"""What is told, as events of Kubernetes too: for `kubectl get events` and `kubectl describe`."""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterator

import msgspec

from deis_bus.clock import timestamp
from deis_bus.contracts.components import workload_of
from deis_bus.errors import Refused, Transient
from deis_bus.events import Event
from deis_bus.events.fleet import (
    ComponentCrashed,
    ComponentMissing,
    ComponentOutdated,
    ComponentReturned,
    ComponentUpdated,
)
from deis_platform.kubernetes import Conflict, Kubernetes, Object, kinds
from deis_platform.logs import get_logger
from deis_platform.races import unless
from deis_platform.retry import delays
from deis_services.manager.model import Workload

log = get_logger(__name__)

TYPES: dict[type[Event], str] = {
    ComponentMissing: "Warning",
    ComponentCrashed: "Warning",
    ComponentOutdated: "Normal",
    ComponentReturned: "Normal",
    ComponentUpdated: "Normal",
}
"""How Kubernetes is told of them; what is not here is not shown."""
MAX_WAITING = 100
"""While the API server is away; older ones are given up."""
SOURCE = "deis-workflow-manager"


def _pauses() -> Iterator[float]:
    return delays(ceiling=30.0)


class Shown:
    """A part: writes them one after the other, and again while the API server is away."""

    name = "events of kubernetes"

    def __init__(
        self,
        api: Kubernetes,
        workload: Callable[[str], Workload | None],
        pauses: Callable[[], Iterator[float]] = _pauses,
    ) -> None:
        self.waiting: deque[Object] = deque(maxlen=MAX_WAITING)
        self._api = api
        self._workload = workload
        self._pauses = pauses
        self._more = asyncio.Event()

    def hear(self, event: Event) -> None:
        """Show it, soon."""
        if type(event) in TYPES:
            component: str = getattr(event, "component")  # noqa: B009 - all of TYPES have one
            found = self._workload(component)
            self.waiting.append(shown(event, component, found, self._api.namespace))
            self._more.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Write until stopped."""
        await unless(stop, self._always())

    async def _always(self) -> None:
        while True:
            while self.waiting:
                await self._write(self.waiting[0])
            self._more.clear()
            await self._more.wait()

    async def _write(self, obj: Object) -> None:
        pauses = self._pauses()
        # While it fails it may be given up for newer ones.
        while self.waiting and self.waiting[0] is obj:
            if await self._written(obj):
                self.waiting.popleft()
            else:
                await asyncio.sleep(next(pauses))

    async def _written(self, obj: Object) -> bool:
        """Whether there is nothing more to do about it."""
        try:
            await self._api.create(obj)
        except Conflict:
            return True  # it was written, and the answer was lost
        except Refused as fault:
            log.warning("an event is not shown", reason=obj["reason"], fault=str(fault))
        except Transient as fault:
            log.debug("an event is not shown yet", reason=obj["reason"], fault=str(fault))
            return False
        return True


def shown(event: Event, component: str, workload: Workload | None, namespace: str) -> Object:
    """An event of Kubernetes about a workload, be it there or not. Its name makes it one, however
    often it is written."""
    now = timestamp()
    name = workload.name if workload else workload_of(component)
    fields = msgspec.structs.asdict(event).items()
    return {
        "apiVersion": kinds.EVENT.api_version,
        "kind": kinds.EVENT.kind,
        "metadata": {"name": f"{name}.{secrets.token_hex(8)}", "namespace": namespace},
        "involvedObject": {
            "apiVersion": kinds.DEPLOYMENT.api_version,
            "kind": workload.kind if workload else kinds.DEPLOYMENT.kind,
            "name": name,
            "namespace": namespace,
        },
        "type": TYPES[type(event)],
        "reason": "".join(word.capitalize() for word in event.TYPE.split(".")),
        "message": ", ".join(f"{field} {value}" for field, value in fields if value),
        "source": {"component": SOURCE},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
