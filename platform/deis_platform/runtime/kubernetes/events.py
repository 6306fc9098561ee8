"""What the cluster's components told of pods; asked for only where somebody is to be told why."""

from collections.abc import Iterable

import msgspec

from deis_bus.contracts.runtime import Instance
from deis_bus.errors import Refused, Transient
from deis_platform.kubernetes import Kubernetes, kinds
from deis_platform.logs import get_logger
from deis_platform.runtime.kubernetes import views, words

log = get_logger(__name__)

CREATING = "creating"


async def explained(api: Kubernetes, failure: str, pod: views.Pod | None) -> str:
    """A failure with what the events of this pod tell; as it is where they cannot be read."""
    if pod is None:
        return failure
    meta = pod.metadata
    found = await _events(api, meta.namespace, f"involvedObject.name={meta.name}")
    return words.explained(failure, pod, found)


async def created(
    api: Kubernetes, namespace: str, instances: Iterable[Instance]
) -> tuple[Instance, ...]:
    """Instances whose container is being made show their latest event (api.md 10.2)."""
    shown = tuple(instances)
    if not any(one.state == CREATING for one in shown):
        return shown
    found = await _events(api, namespace, "involvedObject.kind=Pod")
    return tuple(
        msgspec.structs.replace(one, state=words.latest(found, one.name) or CREATING)
        if one.state == CREATING
        else one
        for one in shown
    )


async def _events(api: Kubernetes, namespace: str, fields: str) -> list[views.Event]:
    try:
        return (await api.list(kinds.EVENT, namespace, view=views.Event, fields=fields)).items
    except (Transient, Refused) as fault:
        log.info("events are not told", namespace=namespace, fault=str(fault))
        return []
