"""The S3 store passes the suite of the directory store on two real servers, and its own faults."""

import os
import signal
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from deis_bus.errors import Transient
from deis_platform.objects import NoObject, ObjectStore, TooLarge, open_objects
from deis_platform.objects.s3 import S3Store
from deis_platform.objects.s3_parts import PART_BYTES
from integration.s3_servers import Rclone, RunningS3, SeaweedFS, s3_server
from integration.servers import until
from tests.behaviour.objects import ObjectsSuite, chunks, content

pytestmark = pytest.mark.server


@asynccontextmanager
async def one_for_all(kind: type[Rclone | SeaweedFS]) -> AsyncIterator[RunningS3]:
    """A server that tests share."""
    with tempfile.TemporaryDirectory(prefix="deis-", ignore_cleanup_errors=True) as name:
        async with s3_server(kind, Path(name)) as running:
            yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def rclone() -> AsyncIterator[RunningS3]:
    """One rclone for the session."""
    async with one_for_all(Rclone) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def seaweedfs() -> AsyncIterator[RunningS3]:
    """One SeaweedFS for the session."""
    async with one_for_all(SeaweedFS) as running:
        yield running


class S3Suite(ObjectsSuite):
    """Every promise of the port, and parts."""

    @pytest.fixture
    async def store(self, s3: RunningS3) -> AsyncIterator[ObjectStore]:
        async with open_objects(s3.settings(uuid.uuid4().hex)) as store:
            yield store

    async def test_an_object_of_several_parts(self, store: ObjectStore) -> None:
        data = os.urandom(1000) * (2 * PART_BYTES // 1000 + 5)
        pieces = [data[at : at + 300_007] for at in range(0, len(data), 300_007)]
        info = await store.put("big", chunks(*pieces))
        assert info.size == len(data) > 2 * PART_BYTES
        assert await content(store, "big") == data
        assert await store.head("big") == info

    async def test_exactly_one_part_and_two(self, store: ObjectStore) -> None:
        for count in (1, 2):
            await store.put("k", chunks(*[b"x" * PART_BYTES] * count))
            assert len(await content(store, "k")) == count * PART_BYTES

    async def test_a_big_object_that_is_too_large_leaves_no_parts(self, store: S3Store) -> None:
        await store.put("k", chunks(b"old"))
        with pytest.raises(TooLarge):
            await store.put("k", chunks(*[b"x" * PART_BYTES] * 2), max_bytes=PART_BYTES + 1)
        assert await content(store, "k") == b"old"
        begun = await store._bucket.call("list_multipart_uploads")
        assert not [one for one in begun.get("Uploads", ()) if one["Key"] == store._name("k")]

    async def test_more_than_a_page_of_objects(self, store: ObjectStore) -> None:
        for number in range(1005):
            await store.put(f"many/{number:04}", chunks(b""))
        assert [info.key for info in await store.list("many/")][1004] == "many/1004"
        assert await store.delete_prefix("many/") == 1005
        assert await store.list() == []


class TestRclone(S3Suite):
    @pytest.fixture
    def s3(self, rclone: RunningS3) -> RunningS3:
        return rclone


class TestSeaweedFS(S3Suite):
    @pytest.fixture
    def s3(self, seaweedfs: RunningS3) -> RunningS3:
        return seaweedfs


async def test_a_wrong_secret_is_told_without_it(rclone: RunningS3, tmp_path: Path) -> None:
    wrong = tmp_path / "secret"
    wrong.write_text("not-this-one")
    async with open_objects(rclone.settings(s3_secret_file=str(wrong))) as store:
        with pytest.raises(Transient, match="the object store refuses: ") as caught:
            await store.put("k", chunks(b"x"))
    assert "not-this-one" not in str(caught.value)


async def test_a_bucket_that_is_not_there(rclone: RunningS3) -> None:
    settings = rclone.settings()
    absent = replace(settings, url="s3://nowhere")
    async with open_objects(absent, prepare=False) as store:
        with pytest.raises(Transient, match="NoSuchBucket"):
            await store.put("k", chunks(b"x"))
        with pytest.raises(Transient, match="NoSuchBucket"):
            await content(store, "k")


async def test_a_prefix_that_is_none(rclone: RunningS3) -> None:
    with pytest.raises(ValueError, match="prefix"):
        async with open_objects(rclone.settings("a//b")):
            pass


async def test_a_server_that_is_killed_and_back(tmp_path: Path) -> None:
    async with (
        s3_server(Rclone, tmp_path) as s3,
        open_objects(s3.settings()) as store,
    ):
        await store.put("k", chunks(b"kept"))
        os.kill(s3.server.pid, signal.SIGSTOP)
        os.kill(s3.server.pid, signal.SIGKILL)

        async def back() -> bool:
            try:
                return await content(store, "k") == b"kept"
            except Transient:
                return False

        await until(back, "the server is back")
        with pytest.raises(NoObject):
            await store.head("other")
