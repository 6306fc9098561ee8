"""Objects in a bucket of any S3 server: streamed both ways, with bounded memory."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from deis_bus.errors import Transient
from deis_platform.groups import ObjectsSettings
from deis_platform.logs import get_logger
from deis_platform.objects.port import (
    CHUNK_BYTES,
    BadKey,
    NoObject,
    ObjectInfo,
    check_key,
    check_prefix,
)
from deis_platform.objects.s3_bucket import Bucket
from deis_platform.objects.s3_client import Refusal, mapped, s3_client
from deis_platform.objects.s3_parts import PART_BYTES, body_of, parts_of, size_of, to_its_end

log = get_logger(__name__)

WRITES = 8
"""Objects written at once: each holds a part in memory."""
READS = 32
"""Objects read at once."""
CALLS = 16
"""Short requests at once; on their own, so that whoever reads an object may ask for another."""
STALE_SECONDS = 24 * 3600.0
"""Longer than any upload."""
GIVE_UP_SECONDS = 10.0
PATIENCE = 4
"""Times the silence that one answer may take: room for three attempts, or for a slow part."""


@asynccontextmanager
async def open_s3(
    settings: ObjectsSettings, bucket: str, prefix: str, *, prepare: bool = True
) -> AsyncIterator["S3Store"]:
    """The store while the context lasts; with `prepare` its bucket is made where it is absent.

    Does not wait for the server: calls raise Transient until it is there. Raises BadKey for a
    prefix that is none, ValueError when a file with a key cannot be read.
    """
    async with s3_client(settings, WRITES + READS + CALLS) as client:
        make_in = settings.s3_region if prepare else None
        seconds = PATIENCE * settings.s3_seconds
        store = S3Store(Bucket(client, bucket, seconds, make_in), prefix)
        preparing = asyncio.create_task(store.prepare()) if prepare else None
        try:
            yield store
        finally:
            if preparing:
                preparing.cancel()
                await asyncio.wait({preparing})


class S3Store:
    """Implements ObjectStore in a bucket; all keys lie below `prefix`.

    The bucket's client must have WRITES + READS + CALLS connections: who waits for one of those
    would be told that connecting took too long.
    """

    def __init__(self, bucket: Bucket, prefix: str = "") -> None:
        self._bucket = bucket
        self._prefix = f"{check_key(prefix)}/" if prefix else ""
        self._writing = asyncio.Semaphore(WRITES)
        self._reading = asyncio.Semaphore(READS)
        self._calling = asyncio.Semaphore(CALLS)

    async def prepare(self) -> None:
        """Find the bucket, and end what nobody finished writing; what fails is only logged.

        A store that is away is looked for again by the first request that needs it.
        """
        try:
            await self._bucket.find()
            await self.sweep()
        except Transient as fault:
            log.warning("the object store is not ready", fault=str(fault))

    async def sweep(self, older_than: float = STALE_SECONDS) -> int:
        """Give up uploads that began so many seconds ago: killed writers leave them, and their
        parts take room that no list shows. Gives how many."""
        limit = datetime.now(UTC) - timedelta(seconds=older_than)
        ended = 0
        async for upload in self.uploads():
            if upload["Initiated"] <= limit:
                which = {name: upload[name] for name in ("Key", "UploadId")}
                async with self._calling:
                    with _no_such_upload():  # ended by somebody else meanwhile
                        await self._bucket.call("abort_multipart_upload", **which)
                        ended += 1
        return ended

    async def uploads(self) -> AsyncIterator[dict[str, Any]]:
        """What was begun in parts and is neither ended nor given up, as the server tells it."""
        with _no_such_upload():  # said by rclone where there never was one
            async for upload in self._entries("list_multipart_uploads", "Uploads", self._prefix):
                yield upload

    async def put(
        self, key: str, chunks: AsyncIterator[bytes], *, max_bytes: int = 0
    ) -> ObjectInfo:
        """One request where it fits into a part, else an upload of parts, ended or given up."""
        name = self._name(key)
        async with self._writing, contextlib.aclosing(parts_of(chunks, max_bytes)) as parts:
            part = await anext(parts)
            if (size := size_of(part)) < PART_BYTES:
                sent = await self._bucket.call("put_object", Key=name, **await body_of(part))
                return ObjectInfo(key, size, _tag(sent))
            return await self._upload(key, part, parts)

    @asynccontextmanager
    async def get(self, key: str) -> AsyncIterator[tuple[ObjectInfo, AsyncIterator[bytes]]]:
        """One request, read as the caller reads."""
        name = self._name(key)
        async with self._reading:
            found = await self._bucket.call("get_object", absent=key, Key=name)
            async with found["Body"] as body:
                yield _info(key, found), _read(body)

    async def head(self, key: str) -> ObjectInfo:
        """What the server says of it."""
        check_key(key)
        async with self._calling:
            return await self._head(key)

    async def delete(self, key: str) -> None:
        """Only what is there is removed: told to remove `a/b/c`, rclone removes an object `a/b`."""
        name = self._name(key)
        async with self._calling:
            with contextlib.suppress(NoObject):
                await self._head(key)
                await self._remove(name)

    async def delete_prefix(self, prefix: str) -> int:
        """A page of names at a time, each in a request of its own.

        The request for many is left alone: servers ask for other sums of it, or do not know it.
        """
        found, names = 0, list[str]()
        async for entry in self._entries("list_objects_v2", "Contents", self._below(prefix)):
            names.append(entry["Key"])
            if len(names) == CALLS:
                found += await self._remove_all(names)
                names = []
        return found + await self._remove_all(names)

    async def list(self, prefix: str = "") -> list[ObjectInfo]:
        """Page by page. What is no key of ours, such as a server's own unfinished file, is not
        shown."""
        infos: list[ObjectInfo] = []
        async for entry in self._entries("list_objects_v2", "Contents", self._below(prefix)):
            with contextlib.suppress(BadKey):
                key = check_key(entry["Key"].removeprefix(self._prefix))
                infos.append(ObjectInfo(key, entry["Size"], _tag(entry)))
        return sorted(infos, key=lambda info: info.key)

    async def free_bytes(self) -> int | None:
        """S3 does not say."""
        return None

    async def has_room(self) -> bool:
        """Not known before it is tried: StoreFull says it then."""
        return True

    def _name(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _below(self, prefix: str) -> str:
        return self._prefix + check_prefix(prefix)

    async def _head(self, key: str) -> ObjectInfo:
        name = self._name(key)
        try:
            return _info(key, await self._bucket.call("head_object", absent=key, Key=name))
        except NoObject:
            await self._bucket.look()  # an answer to HEAD does not tell what is absent
            raise

    async def _entries(
        self, operation: str, what: str, prefix: str
    ) -> AsyncIterator[dict[str, Any]]:
        """Of a list; a page is asked for when the one before it is used up."""
        pages = self._bucket.pages(operation, Prefix=prefix)
        while True:
            async with self._calling:
                page = await anext(pages, None)
            if page is None:
                return
            for entry in page.get(what, ()):
                yield entry

    async def _remove(self, name: str) -> None:
        with contextlib.suppress(NoObject):
            await self._bucket.call("delete_object", absent=name, Key=name)

    async def _remove_all(self, names: Sequence[str]) -> int:
        """At once, each tried though others fail; gives how many, and raises a fault if any."""

        async def remove(name: str) -> None:
            async with self._calling:
                await self._remove(name)

        ends = await asyncio.gather(*map(remove, names), return_exceptions=True)
        for fault in filter(None, ends):
            raise fault
        return len(names)

    async def _upload(
        self, key: str, first: io.BytesIO, rest: AsyncIterator[io.BytesIO]
    ) -> ObjectInfo:
        name, size = self._name(key), size_of(first)
        begin = asyncio.create_task(self._bucket.call("create_multipart_upload", Key=name))
        try:
            upload = (await asyncio.shield(begin))["UploadId"]
            done = [await self._part(name, upload, 1, first)]
            async for part in rest:
                if size_of(part):
                    size += size_of(part)
                    done.append(await self._part(name, upload, len(done) + 1, part))
            parts = {"Parts": done}
            ended = await self._bucket.call(
                "complete_multipart_upload", Key=name, UploadId=upload, MultipartUpload=parts
            )
        except BaseException:
            await to_its_end(self._give_up(name, begin))
            raise
        try:
            return await self._head(key)  # some servers then show it with another tag
        except NoObject:  # deleted at once
            return ObjectInfo(key, size, _tag(ended))

    async def _part(
        self, name: str, upload: str, number: int, part: io.BytesIO
    ) -> dict[str, object]:
        which: dict[str, Any] = {"Key": name, "UploadId": upload, "PartNumber": number}
        sent = await self._bucket.call("upload_part", **which, **await body_of(part))
        return {"PartNumber": number, "ETag": sent["ETag"]}

    async def _give_up(self, name: str, begin: asyncio.Task[Any]) -> None:
        """Parts take room until somebody ends the upload."""
        with contextlib.suppress(Transient, TimeoutError):
            async with asyncio.timeout(GIVE_UP_SECONDS):
                upload = (await begin)["UploadId"]
                await self._bucket.call("abort_multipart_upload", Key=name, UploadId=upload)


async def _read(body: Any) -> AsyncIterator[bytes]:
    """What comes; a body that ends too early is a fault as well."""
    while True:
        with mapped():
            chunk = await body.read(CHUNK_BYTES)
        if not chunk:
            return
        yield chunk


@contextlib.contextmanager
def _no_such_upload() -> Iterator[None]:
    try:
        yield
    except Refusal as fault:
        if fault.code != "NoSuchUpload":
            raise


def _info(key: str, answer: dict[str, Any]) -> ObjectInfo:
    return ObjectInfo(key, answer["ContentLength"], _tag(answer))


def _tag(answer: dict[str, Any]) -> str:
    return str(answer["ETag"]).strip('"')
