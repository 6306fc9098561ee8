"""Requests to the API server on aiohttp and msgspec; every call has a time limit.

Decision 0016 says why not a client library. Objects are plain dicts, or views: msgspec structs
that name the fields in use, so that nothing else is kept. Faults are those of `faults`.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Generic, TypeVar

import aiohttp
import msgspec

from deis_bus.errors import Transient
from deis_platform.groups import KubernetesSettings
from deis_platform.kubernetes import kinds
from deis_platform.kubernetes.access import Access, access
from deis_platform.kubernetes.faults import Conflict, Gone, NotFound, fault_of
from deis_platform.kubernetes.kinds import Kind
from deis_platform.kubernetes.views import Meta

T = TypeVar("T")
Object = dict[str, Any]

MANAGER = "deis"
"""Our field manager: fields of others on the same object stay theirs."""
CALL_SECONDS = 15.0
CONNECT_SECONDS = 5.0
WATCH_SECONDS = 60
"""How long one watch lasts; the next one goes on where it ended."""
SILENT_SECONDS = 75.0
PAGE = 500
ATTEMPTS = 5
"""Of a write that met a conflict."""
PAUSE_SECONDS = 0.05
MAX_BODY = 64 * 1024 * 1024
MAX_LINE = 8 * 1024 * 1024
CONNECTIONS = 64
PATCHES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}


class Listing(msgspec.Struct, Generic[T], frozen=True):
    """Objects as they were at one version of the whole collection."""

    items: list[T]
    version: str


class _ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _Page(msgspec.Struct, Generic[T], frozen=True):
    metadata: _ListMeta
    items: list[T]


class Change(msgspec.Struct, Generic[T], frozen=True):
    """One line of a watch: ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: T


class _Event(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


class _Code(msgspec.Struct, frozen=True):
    code: int = 500


class Kubernetes:
    """The API server, as one account sees it. Made by `open_kubernetes`."""

    def __init__(self, session: aiohttp.ClientSession, way: Access, namespace: str) -> None:
        self.namespace = namespace
        """The platform's own."""
        self._session = session
        self._way = way

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
        body = await self._request("GET", kind.path(namespace, name, subresource))
        return _decoded(body, view)

    async def list(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        view: type[T],
        labels: str = "",
        fields: str = "",
    ) -> Listing[T]:
        """All objects that match; page by page, begun anew when they became too old meanwhile."""
        while True:
            with contextlib.suppress(Gone):
                return await self._list(kind, namespace, view, labels, fields)

    async def _list(
        self, kind: Kind, namespace: str, view: type[T], labels: str, fields: str
    ) -> Listing[T]:
        items: list[T] = []
        params = _selected(labels, fields) | {"limit": str(PAGE)}
        while True:
            body = await self._request("GET", kind.path(namespace), params)
            page = _decoded(body, _Page[view])  # type: ignore[valid-type]
            items += page.items
            if not page.metadata.continue_:
                return Listing(items, page.metadata.resource_version)
            params["continue"] = page.metadata.continue_

    async def watch(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        version: str,
        view: type[T],
        labels: str = "",
        fields: str = "",
    ) -> AsyncGenerator[Change[T], None]:
        """Changes after `version`, for about a minute. Raises Gone, Transient."""
        params = _selected(labels, fields) | {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
            "resourceVersion": version,
        }
        timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=SILENT_SECONDS)
        async with self._opened("GET", kind.path(namespace), params, timeout=timeout) as answer:
            async for line in _lines(answer):
                yield _change(line, view)

    async def apply(self, obj: Object, *, manager: str = MANAGER, force: bool = True) -> Object:
        """Server-side apply: the fields we name become ours and so. Raises Refused, NotFound for
        a missing namespace, Conflict where it would not settle."""
        params = {"fieldManager": manager, "force": "true" if force else "false"}
        return await self._write("PATCH", _path_of(obj), params, obj, "apply")

    async def create(self, obj: Object, *, manager: str = MANAGER) -> Object:
        """Make it. Raises Conflict of kind `exists`."""
        meta = obj["metadata"]
        path = kinds.of(obj).path(str(meta.get("namespace", "")))
        body = await self._request("POST", path, {"fieldManager": manager}, obj)
        return _decoded(body, dict)

    async def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str,
        patch: Object,
        *,
        type: str = "merge",  # noqa: A002 - the API's own word
        subresource: str = "",
        manager: str = MANAGER,
    ) -> Object:
        """Change some fields: `merge`, `strategic` or `json`. Raises NotFound, Conflict."""
        path = kind.path(namespace, name, subresource)
        return await self._write("PATCH", path, {"fieldManager": manager}, patch, type)

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
        """Ask for its end; False when it was not there, or another `uid` is. Raises Refused."""
        options: Object = {"propagationPolicy": propagation}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            await self._request("DELETE", kind.path(namespace, name), body=options)
        except NotFound:
            return False
        except Conflict:
            if not uid:
                raise
            return False
        return True

    async def logs(
        self, pod: str, namespace: str, *, container: str = "", follow: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """A container's output from its first byte on. Raises NotFound, Refused, Transient."""
        params = {"follow": "true"} if follow else {}
        if container:
            params["container"] = container
        timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS)
        path = kinds.POD.path(namespace, pod, "log")
        async with self._opened("GET", path, params, timeout=timeout) as answer:
            try:
                async for chunk in answer.content.iter_any():
                    yield chunk
            except aiohttp.ClientError as fault:
                raise Transient(f"the API server went away: {type(fault).__name__}") from fault

    async def attach(
        self, pod: str, namespace: str, *, container: str, tty: bool
    ) -> aiohttp.ClientWebSocketResponse:
        """A web socket to the container's input and outputs (protocol v5.channel.k8s.io)."""
        params = {
            "container": container,
            "stdin": "true",
            "stdout": "true",
            "stderr": "false" if tty else "true",
            "tty": "true" if tty else "false",
        }
        path = kinds.POD.path(namespace, pod, "attach")
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await self._session.ws_connect(
                    self._way.server + path,
                    params=params,
                    headers=self._headers(),
                    ssl=self._way.tls or True,
                    protocols=("v5.channel.k8s.io",),
                    max_msg_size=MAX_LINE,
                )
        except aiohttp.WSServerHandshakeError as fault:
            raise fault_of(fault.status, b"") from fault
        except (aiohttp.ClientError, OSError, TimeoutError) as fault:
            raise Transient(f"the API server is away: {type(fault).__name__}") from fault

    async def ready(self) -> bool:
        """Whether it answers at all."""
        with contextlib.suppress(Transient):
            await self._request("GET", "/readyz")
            return True
        return False

    async def _write(
        self, method: str, path: str, params: Mapping[str, str], body: object, patch: str
    ) -> Object:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return _decoded(await self._request(method, path, params, body, patch), dict)
            except Conflict:
                # Another writer was between its reading and writing; with a version of the
                # caller's own the conflict is for him.
                if attempt == ATTEMPTS or _versioned(body):
                    raise
            await asyncio.sleep(PAUSE_SECONDS * attempt)
        raise AssertionError("unreachable")

    async def _request(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: object = None,
        patch: str = "",
    ) -> bytes:
        timeout = aiohttp.ClientTimeout(total=CALL_SECONDS, sock_connect=CONNECT_SECONDS)
        async with self._opened(method, path, params, body, patch, timeout=timeout) as answer:
            try:
                return await answer.read()
            except (aiohttp.ClientError, OSError, TimeoutError) as fault:
                raise Transient(f"the API server went away: {type(fault).__name__}") from fault

    @contextlib.asynccontextmanager
    async def _opened(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: object = None,
        patch: str = "",
        *,
        timeout: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = self._headers()
        if body is not None:
            headers["Content-Type"] = PATCHES.get(patch, "application/json")
        try:
            answer = await self._session.request(
                method,
                self._way.server + path,
                params=params,
                data=None if body is None else msgspec.json.encode(body),
                headers=headers,
                ssl=self._way.tls or True,
                timeout=timeout,
            )
        except (aiohttp.ClientError, OSError, TimeoutError) as fault:
            raise Transient(f"the API server is away: {type(fault).__name__}") from fault
        async with answer:
            if answer.status >= 300:
                raise fault_of(answer.status, await _short(answer))
            yield answer

    def _headers(self) -> dict[str, str]:
        token = self._way.token()
        headers = {"Accept": "application/json", "User-Agent": "deis-workflow"}
        return headers | ({"Authorization": f"Bearer {token}"} if token else {})


@contextlib.asynccontextmanager
async def open_kubernetes(settings: KubernetesSettings) -> AsyncIterator[Kubernetes]:
    """The API server; nothing is asked yet. Raises NoCluster without a way to it."""
    way = await asyncio.to_thread(access, settings.kubeconfig)
    connector = aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=30)
    async with aiohttp.ClientSession(
        connector=connector, read_bufsize=1024 * 1024, trust_env=False
    ) as session:
        yield Kubernetes(session, way, settings.namespace)


def _selected(labels: str, fields: str) -> dict[str, str]:
    found = {"labelSelector": labels, "fieldSelector": fields}
    return {name: text for name, text in found.items() if text}


def _path_of(obj: Object) -> str:
    meta = obj["metadata"]
    return kinds.of(obj).path(str(meta.get("namespace", "")), str(meta["name"]))


def _versioned(body: object) -> bool:
    return isinstance(body, dict) and "resourceVersion" in body.get("metadata", {})


def _decoded(body: bytes, view: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=view)
    except msgspec.MsgspecError as fault:
        raise Transient(f"the API server's answer cannot be read: {fault}") from None


def _change(line: bytes, view: type[T]) -> Change[T]:
    event = _decoded(line, _Event)
    if event.type == "ERROR":
        raise fault_of(_decoded(bytes(event.object), _Code).code, bytes(event.object))
    return Change(event.type, _decoded(bytes(event.object), view))


def version_of(obj: object) -> str:
    """The resource version of a view or a dict."""
    if isinstance(obj, dict):
        return str(obj["metadata"]["resourceVersion"])
    meta: Meta = obj.metadata  # type: ignore[attr-defined]
    return meta.resource_version


async def _lines(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    rest = b""
    try:
        async for chunk in answer.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line
            if len(rest) > MAX_LINE:
                raise Transient("a line of a watch is too long")
    except (aiohttp.ClientError, OSError, TimeoutError) as fault:
        raise Transient(f"a watch broke: {type(fault).__name__}") from fault


async def _short(answer: aiohttp.ClientResponse) -> bytes:
    """The beginning of a refusal's body; none where it does not come."""
    with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
        return await answer.content.read(64 * 1024)
    return b""
