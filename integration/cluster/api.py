"""The few calls that the node's own helpers make to the API server: follow a list, patch, read.

Small on purpose, and independent of what the platform uses, which it helps to test.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from integration.cluster.layout import API_PORT, NODE_ADDRESS, Layout

Object = dict[str, Any]
Key = tuple[str, str]
"""Namespace ("" for what has none) and name."""

_AGAIN_SECONDS = 0.3
_WATCH_SECONDS = 300
_LINE_BYTES = 4 * 1024 * 1024
_MERGE = {"Content-Type": "application/merge-patch+json"}


@asynccontextmanager
async def connected(layout: Layout) -> AsyncIterator[aiohttp.ClientSession]:
    """A session with the API server as the administrator."""
    trust = ssl.create_default_context(cafile=str(layout.pki / "ca.crt"))
    trust.load_cert_chain(layout.pki / "admin.crt", layout.pki / "admin.key")
    limits = aiohttp.ClientTimeout(total=None, sock_connect=5)
    async with aiohttp.ClientSession(
        f"https://{NODE_ADDRESS}:{API_PORT}",
        connector=aiohttp.TCPConnector(ssl=trust),
        timeout=limits,
        read_bufsize=_LINE_BYTES,
        raise_for_status=True,
    ) as session:
        yield session


def key_of(found: Object) -> Key:
    """What an object is known by."""
    return found["metadata"].get("namespace", ""), found["metadata"]["name"]


class Mirror:
    """All objects of one kind, kept up to date; `changed` is called after each change.

    The API server may be away for as long as it likes: what was known last stays.
    """

    def __init__(self, path: str, changed: Callable[[], None]) -> None:
        self.path = path
        self.objects: dict[Key, Object] = {}
        self.listed = asyncio.Event()
        """Set once the list was read."""
        self._changed = changed

    async def run(self, session: aiohttp.ClientSession) -> None:
        """List and watch for ever; after a lost connection or a version too old, again."""
        while True:
            try:
                await self._watch(session, await self._list(session))
            except (aiohttp.ClientError, TimeoutError, ValueError):
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _list(self, session: aiohttp.ClientSession) -> str:
        async with session.get(self.path, timeout=aiohttp.ClientTimeout(total=15)) as answer:
            found = await answer.json()
        self.objects = {key_of(one): one for one in found["items"]}
        self.listed.set()
        self._changed()
        return str(found["metadata"]["resourceVersion"])

    async def _watch(self, session: aiohttp.ClientSession, version: str) -> None:
        asked = {"watch": "1", "resourceVersion": version, "timeoutSeconds": str(_WATCH_SECONDS)}
        limits = aiohttp.ClientTimeout(total=_WATCH_SECONDS + 30, sock_connect=5)
        async with session.get(self.path, params=asked, timeout=limits) as answer:
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                self._take(event["type"], event["object"])

    def _take(self, kind: str, found: Object) -> None:
        if kind == "DELETED":
            self.objects.pop(key_of(found), None)
        else:
            self.objects[key_of(found)] = found
        self._changed()


async def patch(session: aiohttp.ClientSession, path: str, change: Object) -> None:
    """Merge a change into an object."""
    data = json.dumps(change)
    limits = aiohttp.ClientTimeout(total=15)
    async with session.patch(path, data=data, headers=_MERGE, timeout=limits) as answer:
        await answer.read()
