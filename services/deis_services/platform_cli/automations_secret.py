"""The automations of a platform on Kubernetes, in a Secret that the pod of NATS has mounted.

Not one of the chart's: an upgrade or a rollback would bring back what its revision held. The
container `configuration` of NATS' pod follows the mounted file (nats_configuration.py).
"""

import base64
import time
from collections.abc import Callable

import msgspec

from deis_bus.errors import Transient
from deis_platform.kubernetes import Conflict, Kubernetes, Meta, NotFound, View, kinds
from deis_services.platform_cli.automations import FILE, Entries, decoded, encoded

ATTEMPTS = 5
"""Of a change that met another one."""
LABELS = {"app": "deis-nats", "heritage": "deis"}
NUDGE = "deis.io/automations-changed"


class SecretView(msgspec.Struct, frozen=True):
    """What it holds, in base64, and which version of it."""

    metadata: Meta = Meta()
    data: dict[str, str] = {}


class InSecret:
    """The Secret `name`; `pods` is the label of our own NATS' pods, empty where it is another's."""

    def __init__(self, api: Kubernetes, name: str, pods: str) -> None:
        self._api = api
        self._name = name
        self._pods = pods

    async def read(self) -> Entries:
        """All of them. Raises ServerFailed for a damaged Secret, BusError without an API server."""
        return self._entries(await self._secret())

    async def change(self, edit: Callable[[Entries], None]) -> None:
        """One change counts at a time: who comes second begins with what the first left. Raises
        as `read`, and Transient where others change it over and over."""
        for _ in range(ATTEMPTS):
            found = await self._secret()
            entries = self._entries(found)
            edit(entries)
            try:
                await self._write(found, entries)
            except (Conflict, NotFound):
                continue
            return
        raise Transient(f"Secret {self._name} is changed by others all the time: try again")

    async def tell(self) -> None:
        """Let the kubelet look at its pod, and so at the Secret, now: by itself it does once a
        minute. A changed annotation does that."""
        if not self._pods:
            return
        found = await self._api.list(kinds.POD, self._api.namespace, view=View, labels=self._pods)
        nudge = {"metadata": {"annotations": {NUDGE: str(time.time_ns())}}}
        for pod in found.items:
            try:
                await self._api.patch(kinds.POD, pod.metadata.name, self._api.namespace, nudge)
            except NotFound:
                continue  # the next one mounts what is there now

    async def _secret(self) -> SecretView:
        try:
            return await self._api.get(
                kinds.SECRET, self._name, self._api.namespace, view=SecretView
            )
        except NotFound:
            return SecretView()

    def _entries(self, found: SecretView) -> Entries:
        try:
            raw = base64.b64decode(found.data.get(FILE, ""), validate=True)
        except ValueError:  # the API server lets nothing else in
            raw = b"?"
        return decoded(raw or b"[]", f"Secret {self._name}")

    async def _write(self, found: SecretView, entries: Entries) -> None:
        data = {FILE: base64.b64encode(encoded(entries.values())).decode()}
        if version := found.metadata.resource_version:
            patch = {"metadata": {"resourceVersion": version}, "data": data}
            await self._api.patch(kinds.SECRET, self._name, self._api.namespace, patch)
            return
        meta = {"name": self._name, "namespace": self._api.namespace, "labels": LABELS}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data}
        await self._api.create(secret)
