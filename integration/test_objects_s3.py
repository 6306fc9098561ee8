"""The S3 store passes the suite of the directory store on two real servers, and its own."""

import asyncio
import json
import os
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deis_bus.errors import Transient
from deis_platform.objects import NoObject, ObjectStore, TooLarge, open_objects
from deis_platform.objects.s3 import READS, S3Store
from deis_platform.objects.s3_bucket import NoBucket
from deis_platform.objects.s3_parts import PART_BYTES
from integration.s3_servers import RunningS3
from tests.behaviour.objects import ObjectsSuite, chunks, content

pytestmark = pytest.mark.server

TRANSFER = Path(__file__).with_name("s3_transfer.py")
MB = 1024 * 1024


def parts(count: int) -> AsyncIterator[bytes]:
    """A source of so many whole parts."""
    return chunks(*[b"x" * PART_BYTES] * count)


async def uploads(store: S3Store, key: str = "") -> list[str]:
    """What was begun below the store's prefix and not ended, as the server knows it."""
    names = [upload["Key"].removeprefix(store._prefix) async for upload in store.uploads()]
    return [name for name in names if name.startswith(key)]


class S3Suite(ObjectsSuite):
    """Every promise of the port, parts, and the bucket."""

    @pytest.fixture
    async def store(self, s3: RunningS3) -> AsyncIterator[ObjectStore]:
        async with open_objects(s3.settings(uuid.uuid4().hex)) as store:
            yield store

    @pytest.fixture
    def fresh(self) -> str:
        """URL of a bucket that is not there."""
        return f"s3://fresh-{uuid.uuid4().hex}/somewhere"

    async def test_an_object_of_several_parts(self, store: ObjectStore) -> None:
        data = os.urandom(1000) * (2 * PART_BYTES // 1000 + 5)
        pieces = [data[at : at + 300_007] for at in range(0, len(data), 300_007)]
        info = await store.put("big", chunks(*pieces))
        assert info.size == len(data) > 2 * PART_BYTES
        assert await content(store, "big") == data
        assert await store.head("big") == info

    @pytest.mark.parametrize("count", [1, 2])
    async def test_whole_parts_and_nothing_more(self, store: S3Store, count: int) -> None:
        await store.put("k", parts(count))
        assert len(await content(store, "k")) == count * PART_BYTES
        assert await uploads(store) == []

    async def test_a_reader_of_parts_keeps_what_it_opened(self, store: ObjectStore) -> None:
        await store.put("k", chunks(*[b"o" * MB] * 40))
        async with store.get("k") as (_, pieces):
            first = await anext(pieces)
            await store.put("k", chunks(*[b"n" * MB] * 40))
            await store.delete("k")
            rest = [piece async for piece in pieces]
        assert first + b"".join(rest) == b"o" * 40 * MB

    async def test_parts_of_what_is_too_large_are_given_up(self, store: S3Store) -> None:
        await store.put("k", chunks(b"old"))
        with pytest.raises(TooLarge):
            await store.put("k", parts(3), max_bytes=2 * PART_BYTES + 1)
        assert await content(store, "k") == b"old"
        assert await uploads(store) == []

    async def test_parts_of_a_broken_source_are_given_up(self, store: S3Store) -> None:
        async def broken() -> AsyncIterator[bytes]:
            yield b"x" * 2 * PART_BYTES
            assert await uploads(store, "k") != []
            raise ConnectionResetError("gone")

        with pytest.raises(ConnectionResetError):
            await store.put("k", broken())
        assert await uploads(store) == []
        assert await store.list() == []

    @pytest.mark.parametrize("times", [1, 3])
    async def test_parts_of_a_cancelled_put_are_given_up(self, store: S3Store, times: int) -> None:
        begun = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"x" * 2 * PART_BYTES
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(store.put("k", slow()))
        await begun.wait()
        assert await uploads(store, "k") != []
        for _ in range(times):
            task.cancel()
            for _ in range(10):
                await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await uploads(store) == []
        assert await store.list() == []

    async def test_uploads_of_killed_writers_go(self, store: S3Store, s3: RunningS3) -> None:
        async with open_objects(s3.settings(uuid.uuid4().hex)) as other:
            assert isinstance(other, S3Store)
            for one, key in ((store, "a/k"), (store, "l"), (other, "k")):
                name = one._prefix + key
                await one._bucket.call("create_multipart_upload", Key=name)
            assert await store.sweep() == 0
            assert len(await uploads(store)) == 2
            assert await store.sweep(0) == 2
            assert await uploads(store) == []
            assert len(await uploads(other)) == 1
            assert await other.sweep(0) == 1
            assert await other.sweep(0) == 0

    async def test_more_than_a_page_of_objects(self, store: ObjectStore) -> None:
        async def put(number: int) -> None:
            await store.put(f"many/{number:04}", chunks(b""))

        await asyncio.gather(*map(put, range(1005)))
        await store.put("other", chunks(b""))
        assert [info.key for info in await store.list("many/")][1004] == "many/1004"
        assert await store.delete_prefix("many/") == 1005
        assert [info.key for info in await store.list()] == ["other"]

    async def test_neighbours_come_and_go_at_once(self, store: ObjectStore) -> None:
        async def turn(key: str) -> None:
            for _ in range(10):
                await store.put(key, chunks(b"x"))
                await store.delete(key)

        await asyncio.gather(*(turn(f"a/b/{number}") for number in range(4)))
        assert await store.list() == []

    async def test_what_is_no_key_is_not_listed_but_removed(self, store: S3Store) -> None:
        await store.put("a/b", chunks(b"x"))
        for name in ("a/.hidden", "a/with blank"):
            await store._bucket.call("put_object", Key=store._prefix + name, Body=b"x")
        assert [info.key for info in await store.list()] == ["a/b"]
        assert await store.delete_prefix("a/") == 3

    async def test_readers_do_not_hold_up_what_they_ask_meanwhile(self, store: ObjectStore) -> None:
        await store.put("k", chunks(b"x" * 4 * MB))
        opened = [store.get("k") for _ in range(READS)]
        streams = [(await one.__aenter__())[1] for one in opened]
        late = asyncio.create_task(content(store, "k"))
        async with asyncio.timeout(30):
            assert (await store.head("k")).size == 4 * MB
            await store.put("other", chunks(b"y"))
            await store.delete("other")
        assert not late.done()
        for one, stream in zip(opened, streams, strict=True):
            assert len(await anext(stream)) > 0
            await one.__aexit__(None, None, None)
        assert len(await late) == 4 * MB

    async def test_the_bucket_is_made(self, s3: RunningS3, fresh: str) -> None:
        async def service(key: str) -> None:
            async with open_objects(s3.settings(url=fresh)) as store:
                await store.put(key, chunks(b"x"))
                assert await content(store, key) == b"x"

        await asyncio.gather(service("a/k"), service("a/l"), service("a/m"))
        async with open_objects(s3.settings(url=fresh)) as late:
            assert isinstance(late, S3Store)
            await late._bucket.make()  # seen absent by a service that another one overtook

    async def test_a_bucket_in_another_region(self, s3: RunningS3, fresh: str) -> None:
        async with open_objects(s3.settings(url=fresh, s3_region="eu-central-1")) as store:
            await store.put("k", parts(2))
            assert [info.size for info in await store.list()] == [2 * PART_BYTES]

    async def test_who_only_looks_makes_no_bucket(self, s3: RunningS3, fresh: str) -> None:
        async with open_objects(s3.settings(url=fresh), prepare=False) as store:
            for _ in range(2):
                with pytest.raises(Transient, match="no such bucket"):
                    await store.put("k", chunks(b"x"))
                with pytest.raises(Transient, match="no such bucket"):
                    await content(store, "k")
                with pytest.raises(NoBucket, match="has no bucket fresh-"):
                    await store.head("k")
                with pytest.raises(NoBucket):
                    await store.delete("k")
                with pytest.raises(Transient):
                    await store.list()

    @pytest.mark.timeout(150)
    async def test_memory_does_not_grow_with_the_object(self, s3: RunningS3) -> None:
        url = s3.settings(uuid.uuid4().hex).url
        size = 256 * MB
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", str(TRANSFER), str(size)),
            env=os.environ | s3.environment() | {"DEIS_OBJECTS_URL": url},
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await child.communicate()
        assert child.returncode == 0
        told = json.loads(output)
        assert told["put"] == told["got"] == size
        assert told["peak_after"] - told["peak_before"] < size / 8


class TestRclone(S3Suite):
    @pytest.fixture
    def s3(self, rclone: RunningS3) -> RunningS3:
        return rclone


class TestSeaweedFS(S3Suite):
    @pytest.fixture
    def s3(self, seaweedfs: RunningS3) -> RunningS3:
        return seaweedfs


async def test_removing_below_an_object_spares_it(rclone: RunningS3) -> None:
    """rclone itself would remove `a/b` when it is told to remove `a/b/c`."""
    async with open_objects(rclone.settings(uuid.uuid4().hex)) as store:
        await store.put("a/b", chunks(b"x"))
        await store.delete("a/b/c")
        assert await content(store, "a/b") == b"x"
        with pytest.raises(NoObject):
            await store.head("a/b/c")
