"""A key-value bucket, as NATS defines it: `$KV.<bucket>.<key>` in stream `KV_<bucket>`."""

import contextlib
from collections.abc import AsyncGenerator

from deis_bus.jetstream import api
from deis_bus.jetstream.link import Link, status
from deis_bus.jetstream.reader import Begun, present, read
from deis_bus.jetstream.store import store
from deis_bus.ports import Entry, Received
from deis_bus.streams import Bucket

OPERATION = "KV-Operation"
MARKER = "Nats-Marker-Reason"
EXPECTED = "Nats-Expected-Last-Subject-Sequence"


class JetStreamKeys:
    """A bucket. A deleted key is a marker that the port shows as `data` None."""

    def __init__(self, link: Link, bucket: Bucket) -> None:
        self._link = link
        self._stream = f"KV_{bucket.name}"
        self._prefix = f"$KV.{bucket.name}."

    async def get(self, key: str) -> Entry | None:
        """The present value, read from the stream's memory."""
        found = await self._last(key)
        return found if found is not None and found.data is not None else None

    async def put(self, key: str, data: bytes) -> int:
        """Write."""
        return await store(self._link, self._prefix + key, data, {})

    async def update(self, key: str, data: bytes, revision: int) -> int | None:
        """Write if the key is still at `revision`; the server compares, so it is safe."""
        written = await self._write_at(key, data, revision)
        if written is None and revision == 0:
            # A deleted key counts as absent; its marker is what the server compares with.
            found = await self._last(key)
            if found is not None and found.data is None:
                return await self._write_at(key, data, found.revision)
        return written

    async def delete(self, key: str) -> int:
        """Write a marker."""
        return await store(self._link, self._prefix + key, b"", {OPERATION: "DEL"})

    async def entries(self) -> list[Entry]:
        """All present keys, read once."""
        found: dict[str, Entry] = {}
        reading = present(self._link, self._stream, (f"{self._prefix}>",), last=True)
        async with contextlib.aclosing(reading) as held:
            async for item in held:
                entry = self._entry(item.message)
                found[entry.key] = entry
        return [entry for entry in found.values() if entry.data is not None]

    async def watch(self) -> AsyncGenerator[Entry | None, None]:
        """The present, None, then changes; all of it again where the reading was interrupted."""
        complete = False
        async with contextlib.aclosing(
            read(self._link, self._stream, (f"{self._prefix}>",), last=True)
        ) as reading:
            async for item in reading:
                if isinstance(item, Begun):
                    complete = item.pending == 0
                    if complete:
                        yield None
                    continue
                entry = self._entry(item.message)
                if complete or entry.data is not None:
                    yield entry
                if not complete and item.pending == 0:
                    complete = True
                    yield None

    async def _write_at(self, key: str, data: bytes, revision: int) -> int | None:
        try:
            headers = {EXPECTED: str(revision)}
            return await store(self._link, self._prefix + key, data, headers)
        except api.ApiError as fault:
            if fault.err_code in api.WRONG_LAST_SEQUENCE:
                return None
            raise

    async def _last(self, key: str) -> Entry | None:
        subject = f"$JS.API.DIRECT.GET.{self._stream}.{self._prefix}{key}"
        message = await self._link.request(subject, b"", None, api.API_SECONDS)
        headers = message.headers or {}
        if status(message) == "404" or "Nats-Sequence" not in headers:
            return None
        return self._entry(
            Received(self._prefix + key, headers, message.data, int(headers["Nats-Sequence"]))
        )

    def _entry(self, message: Received) -> Entry:
        gone = OPERATION in message.headers or MARKER in message.headers
        key = message.subject[len(self._prefix) :]
        return Entry(key, None if gone else message.data, message.sequence)
