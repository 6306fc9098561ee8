"""What happens to pods, told as the local runtime tells it: `instance.changed`, `instance.crashed`.

Every replica of the controller sees the same pods, so the identity of a report is made of what it
tells: the stream keeps the first of several.
"""

import uuid

from deis_bus.events import Event
from deis_bus.events.processes import InstanceChanged, InstanceCrashed
from deis_platform.reports import Reports
from deis_platform.runtime.kubernetes import names, state, views
from deis_platform.runtime.kubernetes.cluster import Cluster

ONCE = uuid.UUID("a6f1f0a4-5a39-4b2c-9d27-0f2f6d1b7c55")


class Telling:
    """Hears each pod, before and after a change, and reports what differs."""

    def __init__(self, cluster: Cluster, reports: Reports) -> None:
        self._reports = reports
        cluster.pod_heard = self.heard

    def heard(self, old: views.Pod | None, new: views.Pod | None) -> None:
        """A pod was added, changed, or (new None) is gone."""
        pod = new or old
        if pod is None or pod.metadata.labels.get(names.TYPE) == names.RUN:
            return
        before = state.state_of(old) if old else ""
        after = state.state_of(new) if new else "destroyed"
        if before != after:
            self._tell(pod, _changed(pod, after))
        if old is not None and new is not None and _restarts(new) > _restarts(old):
            self._tell(new, _crashed(new))

    def _tell(self, pod: views.Pod, event: Event) -> None:
        meta = pod.metadata
        identity = uuid.uuid5(ONCE, f"{meta.uid} {meta.resource_version} {event.TYPE}")
        appuuid = meta.annotations.get(names.UUID, "")
        self._reports.tell(meta.namespace, appuuid, event, str(identity))


def _changed(pod: views.Pod, after: str) -> InstanceChanged:
    return InstanceChanged(
        instance=pod.metadata.name,
        process_type=pod.metadata.labels.get(names.TYPE, ""),
        version=names.release_of(pod.metadata.labels),
        state=after,
    )


def _crashed(pod: views.Pod) -> InstanceCrashed:
    ends = [status.last_state.terminated for status in pod.status.container_statuses]
    return InstanceCrashed(
        instance=pod.metadata.name,
        process_type=pod.metadata.labels.get(names.TYPE, ""),
        version=names.release_of(pod.metadata.labels),
        exit_code=next((end.exit_code for end in ends if end is not None), 0),
        restarts=_restarts(pod),
    )


def _restarts(pod: views.Pod) -> int:
    return sum(status.restart_count for status in pod.status.container_statuses)
