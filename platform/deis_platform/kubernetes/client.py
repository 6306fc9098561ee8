"""Requests to the API server; every call has a time limit.

Decision 0016 says why not a client library. Objects are plain dicts, or views: msgspec structs
that name the fields in use, so that nothing else is kept. Faults are those of `faults`.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from deis_bus.errors import Refused, Transient
from deis_platform.groups import KubernetesSettings
from deis_platform.kubernetes import kinds
from deis_platform.kubernetes.access import Access, from_pod
from deis_platform.kubernetes.faults import Conflict, Gone, NotFound
from deis_platform.kubernetes.kinds import Kind
from deis_platform.kubernetes.transport import CALL_SECONDS, JSON, Transport, open_transport
from deis_platform.kubernetes.views import View
from deis_platform.kubernetes.wire import Bookmark, Change, Lines, Listing, Page, change_of, decoded
from deis_platform.retry import delays

T = TypeVar("T")
Object = dict[str, Any]

MANAGER = "deis"
"""Our field manager: fields of others on the same object stay theirs."""
WATCH_SECONDS = 40
"""How long one watch lasts; the next one goes on where it ended."""
SILENT_SECONDS = 50.0
"""A watch that is silent for so long hangs: its end is at WATCH_SECONDS, and told."""
PAGE = 100
"""Objects a request; they are decoded in one go, in some 5 ms for pods of 15 KB."""
ATTEMPTS = 5
"""Of a write that met a conflict."""
PAUSE_SECONDS = 0.05
PATCHES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}


class Kubernetes:
    """The API server, as one account sees it. Made by `open_kubernetes`."""

    def __init__(self, transport: Transport, namespace: str) -> None:
        self.namespace = namespace
        """The platform's own."""
        self._transport = transport

    async def get(
        self,
        kind: Kind,
        name: str,
        namespace: str = "",
        *,
        view: type[T],
        subresource: str = "",
    ) -> T:
        """One object. Raises NotFound."""
        path = kind.path(namespace, name, subresource)
        body = await self._transport.call("GET", path, accept=_accepted(view))
        return decoded(body, view)

    async def list(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        view: type[T],
        labels: str = "",
        fields: str = "",
    ) -> Listing[T]:
        """All objects that match, page by page. Raises Transient.

        Where the pages become too old before the last one is read, in one answer instead.
        """
        path, params = kind.all_path(namespace), _selected(labels, fields)
        try:
            return await self._list(path, params | {"limit": str(PAGE)}, view)
        except Gone:
            try:
                return await self._list(path, params, view)
            except Gone as fault:
                raise Transient(f"a list is never young enough: {fault}") from None

    async def _list(self, path: str, params: dict[str, str], view: type[T]) -> Listing[T]:
        items: list[T] = []
        while True:
            body = await self._transport.call("GET", path, params, accept=_accepted(view, "List"))
            page = decoded(body, Page)
            items.extend(decoded(item, view) for item in page.items)
            if not page.metadata.continue_:
                return Listing(items, page.metadata.resource_version)
            params = params | {"continue": page.metadata.continue_}

    async def watch(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        version: str,
        view: type[T],
        labels: str = "",
        fields: str = "",
    ) -> AsyncGenerator[Change[T] | Bookmark, None]:
        """Changes after `version`, for WATCH_SECONDS. Raises Gone, Refused, Transient.

        Close it (`contextlib.aclosing`), or it holds a connection until the collector comes.
        """
        params = _selected(labels, fields) | {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
            "resourceVersion": version,
        }
        path, lines = kind.all_path(namespace), Lines()
        async with self._transport.stream(
            path, params, silent=SILENT_SECONDS, accept=_accepted(view)
        ) as chunks:
            async for chunk in chunks:
                for line in lines.feed(chunk):
                    yield change_of(line, view)

    async def apply(self, obj: Object, *, manager: str = MANAGER, force: bool = True) -> Object:
        """Server-side apply: the fields we name become ours and so.

        Raises NotFound for a missing namespace, Conflict where it would not settle (without force
        also of kind `owned`: another manager holds a field), Refused.
        """
        params = {"fieldManager": manager, "force": "true" if force else "false"}
        return await self._write("PATCH", _path_of(obj), params, obj, PATCHES["apply"])

    async def create(self, obj: Object, *, manager: str = MANAGER) -> Object:
        """Make it. Raises Conflict of kind `exists`, NotFound for a missing namespace, Refused."""
        path = kinds.of(obj).all_path(str(obj["metadata"].get("namespace", "")))
        return await self._write("POST", path, {"fieldManager": manager}, obj)

    async def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str,
        patch: object,
        *,
        type: str = "merge",  # noqa: A002 - the API's own word
        subresource: str = "",
        manager: str = MANAGER,
    ) -> Object:
        """Change some fields: `merge`, `strategic` or `json` (its patch is a list).

        With a `resourceVersion` in the patch it counts only for that version. Raises NotFound,
        Conflict, Refused.
        """
        path = kind.path(namespace, name, subresource)
        return await self._write("PATCH", path, {"fieldManager": manager}, patch, PATCHES[type])

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str = "",
        *,
        grace: int | None = None,
        uid: str = "",
        propagation: str = "Background",
    ) -> bool:
        """Ask for its end; False when it was not there, or another `uid` is. Raises Refused.

        `grace` in seconds, None for the object's own; 0 kills without waiting for its node.
        """
        options: Object = {"propagationPolicy": propagation}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            await self._transport.call("DELETE", kind.path(namespace, name), body=options)
        except NotFound:
            return False
        except Conflict:
            if not uid:
                raise
            return False
        return True

    async def logs(
        self,
        pod: str,
        namespace: str,
        *,
        container: str = "",
        follow: bool = False,
        since: str = "",
        timestamps: bool = False,
    ) -> AsyncGenerator[bytes, None]:
        """A container's output in chunks, from its first byte on or from the time `since` (RFC
        3339, whole seconds); with `follow` until the container ends. Raises NotFound, Refused (400
        before the container runs), Transient.

        Close it (`contextlib.aclosing`). `timestamps` begins each line with its time, for who
        has to go on after a Transient.
        """
        told = {
            "container": container,
            "follow": "true" if follow else "",
            "sinceTime": since,
            "timestamps": "true" if timestamps else "",
        }
        params = {name: value for name, value in told.items() if value}
        path = kinds.POD.path(namespace, pod, "log")
        # A container may be silent for days.
        silent = None if follow else CALL_SECONDS
        async with self._transport.stream(path, params, silent=silent) as chunks:
            async for chunk in chunks:
                yield chunk

    async def attach(
        self, pod: str, namespace: str, *, container: str, tty: bool, stdin: bool = True
    ) -> aiohttp.ClientWebSocketResponse:
        """A web socket to the container's input and outputs (protocol v5.channel.k8s.io).

        The caller closes it. Raises NotFound, Refused (400 before the container runs), Transient.
        """
        params = {
            "container": container,
            "stdin": "true" if stdin else "false",
            "stdout": "true",
            "stderr": "false" if tty else "true",
            "tty": "true" if tty else "false",
        }
        return await self._transport.socket(kinds.POD.path(namespace, pod, "attach"), params)

    async def ready(self) -> bool:
        """Whether it answers and is ready; a refusal is an answer."""
        try:
            await self._transport.call("GET", "/readyz")
        except Transient:
            return False
        except Refused:
            return True
        return True

    async def _write(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        body: object,
        content: str = JSON,
    ) -> Object:
        pauses = delays(PAUSE_SECONDS, jitter=0.5)
        for _ in range(1, ATTEMPTS):
            try:
                return await self._write_once(method, path, params, body, content)
            except Conflict as fault:
                # Another writer was between its reading and writing (or counting a quota); with a
                # version of the caller's own the conflict is for him.
                if fault.kind != "conflict" or _versioned(body):
                    raise
            await asyncio.sleep(next(pauses))
        return await self._write_once(method, path, params, body, content)

    async def _write_once(
        self, method: str, path: str, params: Mapping[str, str], body: object, content: str
    ) -> Object:
        answer: Object = decoded(
            await self._transport.call(method, path, params, body, content), dict
        )
        return answer


@contextlib.asynccontextmanager
async def open_kubernetes(settings: KubernetesSettings) -> AsyncIterator[Kubernetes]:
    """The API server; nothing is asked yet. Raises NoCluster without a way to it."""
    async with open_transport(await _access(settings.kubeconfig)) as transport:
        yield Kubernetes(transport, settings.namespace)


async def _access(kubeconfig: str) -> Access:
    if not kubeconfig:
        return await from_pod()
    from deis_platform.kubernetes.kubeconfig import from_file  # yaml, of no use in a pod

    return await from_file(Path(kubeconfig))


def _accepted(view: type[object], several: str = "") -> str:
    """Who looks at the metadata alone is sent no more: no Secret's data, for one."""
    if not issubclass(view, View) or view.__struct_fields__ != View.__struct_fields__:
        return JSON
    return f"{JSON};as=PartialObjectMetadata{several};g=meta.k8s.io;v=v1, {JSON}"


def _selected(labels: str, fields: str) -> dict[str, str]:
    found = {"labelSelector": labels, "fieldSelector": fields}
    return {name: text for name, text in found.items() if text}


def _path_of(obj: Object) -> str:
    meta = obj["metadata"]
    return kinds.of(obj).path(str(meta.get("namespace", "")), str(meta["name"]))


def _versioned(body: object) -> bool:
    return isinstance(body, dict) and "resourceVersion" in body.get("metadata", {})
