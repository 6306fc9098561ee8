"""Slugs, sources and caches over HTTP, on a port of their own (DESIGN 6, Artifacts).

`GET`, `HEAD` and `PUT http://<artifacts>/artifacts/<key>` with `Authorization: Bearer <token>`,
where the token says what it opens (deis_platform.artifacts). Builds and applications come here,
so this port serves nothing else.
"""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from deis_platform.artifacts import PATH, allows
from deis_platform.metrics import Metrics
from deis_platform.objects import (
    BadKey,
    NoObject,
    ObjectInfo,
    ObjectStore,
    StoreFull,
    TooLarge,
    check_key,
)
from deis_platform.webapp import application, problem

STALL_SECONDS = 60.0
"""A peer that takes or gives nothing for this long is given up."""
CHUNK_BYTES = 256 * 1024


class Artifacts:
    """Objects for who holds a capability token; `key` signs those, an object has `limit` bytes."""

    def __init__(self, objects: ObjectStore, key: bytes, limit: int, metrics: Metrics) -> None:
        self._objects = objects
        self._key = key
        self._limit = limit
        self._bytes = metrics.counter("artifacts_bytes_total", "bytes of objects", ("method",))

    def app(self) -> web.Application:
        """The aiohttp application."""
        app = application()
        app.router.add_get(PATH + "{key:.*}", self._get, allow_head=False)
        app.router.add_head(PATH + "{key:.*}", self._head)
        app.router.add_put(PATH + "{key:.*}", self._put)
        return app

    async def _get(self, request: web.Request) -> web.StreamResponse:
        key = self._opened(request)
        try:
            async with self._objects.get(key) as (info, chunks):
                response = _response(info)
                await response.prepare(request)
                async for chunk in chunks:
                    async with asyncio.timeout(STALL_SECONDS):
                        await response.write(chunk)
                    self._bytes.labels("GET").inc(len(chunk))
                await response.write_eof()
                return response
        except NoObject:
            raise web.HTTPNotFound from None

    async def _head(self, request: web.Request) -> web.StreamResponse:
        try:
            return _response(await self._objects.head(self._opened(request)))
        except NoObject:
            raise web.HTTPNotFound from None

    async def _put(self, request: web.Request) -> web.StreamResponse:
        key = self._opened(request)
        if (request.content_length or 0) > self._limit:
            return self._too_large()
        try:
            info = await self._objects.put(key, self._chunks(request), max_bytes=self._limit)
        except TooLarge:
            return self._too_large()
        except BadKey as fault:
            return problem(400, str(fault))
        except StoreFull as fault:
            return problem(507, str(fault))
        except TimeoutError:
            return problem(408, "The rest of the body did not come.")
        return web.Response(status=201, headers={"ETag": f'"{info.etag}"'})

    async def _chunks(self, request: web.Request) -> AsyncIterator[bytes]:
        while True:
            async with asyncio.timeout(STALL_SECONDS):
                chunk = await request.content.read(CHUNK_BYTES)
            if not chunk:
                return
            self._bytes.labels("PUT").inc(len(chunk))
            yield chunk

    def _opened(self, request: web.Request) -> str:
        """The key that the request may work with. Raises HTTPException 400, 401 or 403."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.isascii():
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})
        # One decoding, and the same text is checked and used.
        key = request.match_info["key"]
        if not allows(self._key, token.strip(), request.method, key):
            raise web.HTTPForbidden
        try:
            return check_key(key)
        except BadKey as fault:
            raise web.HTTPBadRequest from fault

    def _too_large(self) -> web.Response:
        return problem(413, f"An object may have {self._limit} bytes at most.")


def _response(info: ObjectInfo) -> web.StreamResponse:
    headers = {
        "Content-Type": "application/octet-stream",
        "Cache-Control": "private, no-transform",
        "ETag": f'"{info.etag}"',
    }
    response = web.StreamResponse(headers=headers)
    response.content_length = info.size
    return response
