"""An API server with a store: objects, versions, generations, apply, watches; no controllers.

It knows as much of Kubernetes as the order and the faults of our writes need. What it does with
managed fields, defaults and pods is tested on a real one.
"""

import asyncio
import copy
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web

from deis_platform.kubernetes import Kubernetes
from deis_platform.kubernetes.access import Access
from deis_platform.kubernetes.tokens import fixed
from deis_platform.kubernetes.transport import open_transport
from tests.unit.deis_platform.kubernetes.fake import told

Object = dict[str, Any]
KINDS = {
    "namespaces": ("v1", "Namespace"),
    "services": ("v1", "Service"),
    "secrets": ("v1", "Secret"),
    "pods": ("v1", "Pod"),
    "events": ("v1", "Event"),
    "resourcequotas": ("v1", "ResourceQuota"),
    "deployments": ("apps/v1", "Deployment"),
    "replicasets": ("apps/v1", "ReplicaSet"),
    "statefulsets": ("apps/v1", "StatefulSet"),
    "daemonsets": ("apps/v1", "DaemonSet"),
    "networkpolicies": ("networking.k8s.io/v1", "NetworkPolicy"),
    "poddisruptionbudgets": ("policy/v1", "PodDisruptionBudget"),
    "nodes": ("v1", "Node"),
    "endpointslices": ("discovery.k8s.io/v1", "EndpointSlice"),
}
COUNTED = ("deployments", "networkpolicies", "poddisruptionbudgets")
"""Kinds whose changes the API server counts."""
Key = tuple[str, str, str]


class Server:
    """Objects by plural, namespace and name."""

    def __init__(self) -> None:
        self.objects: dict[Key, Object] = {}
        self.writes: list[str] = []
        self.left: int | None = None
        """So many writes still succeed; then connections end without an answer."""
        self.refused: dict[str, tuple[int, str]] = {}
        """What is answered to writes of these plurals: status and words."""
        self.before: dict[int, Callable[[], Awaitable[object]]] = {}
        """What happens before the write of that place among `writes`."""
        self.away: set[str] = set()
        """Plurals that nobody can read: connections end without an answer."""
        self.url = ""
        self._version = 0
        self._told: list[tuple[int, str, str, Object]] = []
        self._changed = asyncio.Event()
        self._closing = False

    def get(self, plural: str, namespace: str, name: str) -> Object:
        """One object."""
        return self.objects[plural, namespace, name]

    def names(self, plural: str, namespace: str = "") -> list[str]:
        """The names of what there is."""
        return sorted(key[2] for key in self.objects if key[:2] == (plural, namespace))

    def put(self, plural: str, obj: Object) -> Object:
        """Keep an object as somebody else's write; a new version, perhaps a new generation."""
        meta = obj["metadata"]
        key = (plural, meta.get("namespace", ""), meta["name"])
        before = self.objects.get(key)
        self._version += 1
        meta["resourceVersion"] = str(self._version)
        meta.setdefault("uid", before["metadata"]["uid"] if before else f"uid-{self._version}")
        meta.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        if plural in COUNTED:
            changed = before is None or _counted(plural, before) != _counted(plural, obj)
            meta["generation"] = (before["metadata"]["generation"] if before else 0) + changed
        obj["apiVersion"], obj["kind"] = KINDS[plural]
        self.objects[key] = obj
        self._tell(plural, "MODIFIED" if before else "ADDED", obj)
        return obj

    def drop(self, plural: str, namespace: str, name: str) -> Object:
        """Delete an object as somebody else does."""
        gone = self.objects.pop((plural, namespace, name))
        self._version += 1
        gone = {**gone, "metadata": gone["metadata"] | {"resourceVersion": str(self._version)}}
        self._tell(plural, "DELETED", gone)
        return gone

    def at(self, *addresses: str, kind: str = "IPv4", name: str = "kubernetes") -> None:
        """Say where the API server is."""
        labels = {"kubernetes.io/service-name": "kubernetes"}
        meta = {"name": name, "namespace": "default", "labels": labels}
        ends = [{"addresses": [address]} for address in addresses]
        self.put("endpointslices", {"metadata": meta, "addressType": kind, "endpoints": ends})

    async def changed(self) -> None:
        """Wait for the next change of an object."""
        await self._changed.wait()

    def close(self) -> None:
        """Let watches end."""
        self._closing = True
        self._changed.set()

    def _tell(self, plural: str, kind: str, obj: Object) -> None:
        self._told.append((self._version, kind, plural, copy.deepcopy(obj)))
        self._changed.set()
        self._changed = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Every request there is."""
        if request.path == "/readyz":
            return web.Response(text="ok")
        plural, namespace, name = _place(request.path)
        body = await request.read()
        given = msgspec.json.decode(body) if body else {}
        if request.method == "GET":
            return await self._read(request, plural, namespace, name)
        if happens := self.before.pop(len(self.writes), None):
            await happens()
        if self.left is not None:
            if self.left <= 0:
                return _cut(request)
            self.left -= 1
        self.writes.append(f"{request.method} {plural}/{name or given['metadata']['name']}")
        if plural in self.refused:
            status, words = self.refused[plural]
            return _refusal(status, words)
        return self._write(request, plural, namespace, name, given)

    async def _read(
        self, request: web.Request, plural: str, namespace: str, name: str
    ) -> web.StreamResponse:
        if plural in self.away:
            return _cut(request)
        if request.query.get("watch"):
            return await self._watch(request, plural)
        if name:
            found = self.objects.get((plural, namespace, name))
            return _refusal(404) if found is None else web.json_response(found)
        items = [
            obj
            for (kind, inside, _), obj in self.objects.items()
            if kind == plural
            and namespace in ("", inside)
            and _selected(obj, request.query.get("labelSelector", ""))
        ]
        meta = {"resourceVersion": str(self._version)}
        return web.json_response({"metadata": meta, "items": items})

    async def _watch(self, request: web.Request, plural: str) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        since = int(request.query["resourceVersion"])
        selector = request.query.get("labelSelector", "")
        while not self._closing:
            changed = self._changed
            news = list(self._told)
            for version, kind, told_plural, obj in news:
                if version > since and told_plural == plural and _selected(obj, selector):
                    line = {"type": kind, "object": obj}
                    await response.write(msgspec.json.encode(line) + b"\n")
            since = max(since, news[-1][0]) if news else since
            await changed.wait()
        return response

    def _write(
        self, request: web.Request, plural: str, namespace: str, name: str, given: Object
    ) -> web.Response:
        key = (plural, namespace, name or given["metadata"]["name"])
        before = self.objects.get(key)
        if namespace and ("namespaces", "", namespace) not in self.objects:
            return _refusal(404, f'namespaces "{namespace}" not found')
        if request.method == "DELETE":
            return web.json_response(self.drop(*key)) if before else _refusal(404)
        if request.method == "POST":
            if before is not None:
                return _refusal(409, reason="AlreadyExists")
            return web.json_response(self.put(plural, given))
        if before is None and "apply" not in request.content_type:
            return _refusal(404)
        if before is not None and "json-patch" in request.content_type:
            patched = _patched(before, given)
            return (
                _refusal(422) if patched is None else web.json_response(self.put(plural, patched))
            )
        version = given["metadata"].pop("resourceVersion", None)
        if version and (before is None or before["metadata"]["resourceVersion"] != version):
            return _refusal(409)
        if (
            before
            and before.get("immutable")
            and given.get("data", before["data"]) != before["data"]
        ):
            return _refusal(422, "field is immutable", "Invalid")
        return web.json_response(self.put(plural, _merged(before or {}, given)))


def _counted(plural: str, obj: Object) -> tuple[Object, Object]:
    """What a generation counts the changes of: of Deployments annotations, too."""
    annotations = obj["metadata"].get("annotations", {}) if plural == "deployments" else {}
    return obj["spec"], annotations


def _merged(before: Object, given: Object) -> Object:
    """Maps by key, null takes away, all else replaces; near enough to both kinds of patch."""
    found = copy.deepcopy(before)
    for name, value in given.items():
        if value is None:
            found.pop(name, None)
        elif isinstance(value, dict) and isinstance(found.get(name), dict) and name != "selector":
            found[name] = _merged(found[name], value)
        else:
            found[name] = copy.deepcopy(value)
    return found


def _patched(before: Object, steps: Any) -> Object | None:
    """As JSON patches say, of which ours `test` and `add`; None where a test fails."""
    found = copy.deepcopy(before)
    for step in steps:
        inner: Any = found
        *path, last = [
            int(word) if word.isdigit() else word for word in step["path"][1:].split("/")
        ]
        for word in path:
            inner = inner[word]
        if step["op"] == "add":
            inner[last] = step["value"]
        elif inner[last] != step["value"]:
            return None
    return found


def _selected(obj: Object, selector: str) -> bool:
    labels = obj["metadata"].get("labels", {})
    for word in filter(None, selector.split(",")):
        name, equal, value = word.partition("=")
        if name not in labels or (equal and labels[name] != value):
            return False
    return True


def _place(path: str) -> Key:
    """Plural, namespace and name out of a path."""
    words = path.strip("/").split("/")[2:] if path.startswith("/api/") else path.split("/")[4:]
    namespace = ""
    if words[0] == "namespaces" and len(words) > 2:
        namespace, words = words[1], words[2:]
    return words[0], namespace, words[1] if len(words) > 1 else ""


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _refusal(status: int, words: str = "no", reason: str = "") -> web.Response:
    return web.json_response(told(status, reason, words), status=status)


@asynccontextmanager
async def running_server() -> AsyncIterator[Server]:
    """One that ends with the block."""
    server = Server()
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        server.close()
        await runner.cleanup()


@asynccontextmanager
async def door(server: Server) -> AsyncIterator[Kubernetes]:
    """Our client of it."""
    way = Access(server.url, None, fixed("secret-token"))
    async with open_transport(way) as transport:
        yield Kubernetes(transport, "deis")
