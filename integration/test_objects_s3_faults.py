"""The S3 store while its server is away, hung, cut off in the middle, or refuses."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from deis_bus.errors import Transient
from deis_platform.objects import NoObject, ObjectStore, open_objects
from deis_platform.objects.s3 import S3Store
from deis_platform.objects.s3_parts import PART_BYTES
from integration.s3_servers import Kind, Rclone, RunningS3, SeaweedFS, s3_server
from integration.servers import until
from tests.behaviour.objects import chunks, content

pytestmark = [pytest.mark.server, pytest.mark.timeout(140)]

MB = 1024 * 1024
KINDS = pytest.mark.parametrize("kind", [Rclone, SeaweedFS])
LIMIT = 50
"""Seconds after which a test says itself that something hangs."""
SILENCE = 0.25
"""Seconds of silence after which a store without patience gives up, where others wait for 30."""


@asynccontextmanager
async def server_and_store(kind: Kind, folder: Path) -> AsyncIterator[tuple[RunningS3, S3Store]]:
    """A server of the test's own, to be stopped and killed."""
    async with s3_server(kind, folder) as s3, open_objects(s3.settings("p")) as store:
        assert isinstance(store, S3Store)
        yield s3, store


async def until_back(store: ObjectStore) -> bytes:
    """The server takes objects again; gives the content of `k`, which was there before."""
    found = b""

    async def back() -> bool:
        nonlocal found
        try:
            await store.put("probe", chunks(b"x"))
            await store.delete("probe")
            found = await content(store, "k")
        except Transient:
            return False
        return True

    await until(back, "the server is back")
    return found


async def test_killed_while_an_object_is_read(tmp_path: Path) -> None:
    async with server_and_store(Rclone, tmp_path) as (s3, store):
        await store.put("k", chunks(*[b"x" * MB] * 64))
        async with store.get("k") as (_, pieces):
            await anext(pieces)
            s3.signal(signal.SIGKILL)
            with pytest.raises(Transient, match="the object store is away"):
                async for _ in pieces:
                    pass
        assert len(await until_back(store)) == 64 * MB
        with pytest.raises(NoObject):
            await store.head("other")


@KINDS
async def test_killed_while_an_object_is_put(kind: Kind, tmp_path: Path) -> None:
    async with (
        server_and_store(kind, tmp_path) as (s3, store),
        open_objects(s3.settings("p", s3_seconds=1.0)) as hasty,
    ):
        await store.put("k", chunks(b"old"))

        async def source() -> AsyncIterator[bytes]:
            yield b"x" * 2 * PART_BYTES
            s3.signal(signal.SIGSTOP)  # so that it is not back before the put has ended
            yield b"x" * 2 * PART_BYTES

        async with asyncio.timeout(LIMIT):
            with pytest.raises(Transient, match="the object store is away"):
                await hasty.put("k", source())
        s3.signal(signal.SIGKILL)
        assert await until_back(store) == b"old"
        assert [info.key for info in await store.list()] == ["k"]
        await store.sweep(0)
        assert [upload async for upload in store.uploads()] == []


async def test_hung_and_back(tmp_path: Path) -> None:
    async with (
        server_and_store(Rclone, tmp_path) as (s3, store),
        open_objects(s3.settings("p", s3_seconds=SILENCE)) as hasty,
    ):
        await store.put("k", chunks(*[b"x" * MB] * 64))
        await until_back(hasty)
        async with hasty.get("k") as (_, pieces):
            await anext(pieces)
            s3.signal(signal.SIGSTOP)
            with pytest.raises(Transient, match="the object store is away"):
                async for _ in pieces:
                    pass
        for call in (hasty.head, hasty.delete, lambda key: hasty.list(f"{key}/")):
            with pytest.raises(Transient, match="the object store is away"):
                await call("k")
        s3.signal(signal.SIGCONT)
        assert len(await until_back(store)) == 64 * MB


@KINDS
async def test_opening_waits_for_no_server(kind: Kind, tmp_path: Path) -> None:
    async with s3_server(kind, tmp_path) as s3:
        s3.signal(signal.SIGSTOP)
        async with open_objects(s3.settings(url="s3://later")) as store:
            put = asyncio.create_task(store.put("k", chunks(b"x")))
            await asyncio.sleep(0)
            s3.signal(signal.SIGCONT)
            async with asyncio.timeout(LIMIT):
                assert (await put).size == 1


@KINDS
async def test_a_put_that_is_cancelled_while_it_begins(kind: Kind, tmp_path: Path) -> None:
    async with server_and_store(kind, tmp_path) as (s3, store):
        await store.put("k", chunks(b"old"))
        s3.signal(signal.SIGSTOP)
        task = asyncio.create_task(store.put("k", chunks(b"x" * 2 * PART_BYTES)))
        for _ in range(1000):  # the request that begins the upload has left
            await asyncio.sleep(0)
        task.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        s3.signal(signal.SIGCONT)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [upload async for upload in store.uploads()] == []
        assert await content(store, "k") == b"old"


async def test_nobody_there(tmp_path: Path) -> None:
    async with s3_server(Rclone, tmp_path) as s3:
        pass
    with capture_logs() as logged:
        async with open_objects(s3.settings("p")) as store:
            with pytest.raises(Transient, match="the object store is away: Endpoint") as caught:
                await store.put("k", chunks(b"x"))
    said = str(logged)
    assert "the object store is not ready" in said
    assert caught.value.__cause__ is None
    assert_no_secret(s3, str(caught.value), said)


@pytest.mark.parametrize("server", ["rclone", "seaweedfs"])
@pytest.mark.parametrize(
    ("wrong", "says"),
    [("secret", "the secret key is wrong"), ("key", "the access key is unknown|AccessDenied")],
)
async def test_wrong_keys(
    server: str,
    wrong: str,
    says: str,
    rclone: RunningS3,
    seaweedfs: RunningS3,
    tmp_path: Path,
) -> None:
    s3 = {"rclone": rclone, "seaweedfs": seaweedfs}[server]
    file = tmp_path / "wrong"
    file.write_text("NOTTHISONE")
    with capture_logs() as logged:
        async with open_objects(s3.settings(**{f"s3_{wrong}_file": str(file)})) as store:
            with pytest.raises(Transient, match=says) as caught:
                await store.put("k", chunks(b"x"))
            with pytest.raises(Transient, match=says):
                await content(store, "k")
            for call in (store.head, store.delete, lambda key: store.list(f"{key}/")):
                with pytest.raises(Transient, match="the object store refuses: "):
                    await call("k")
    said = (str(caught.value), repr(caught.value), str(logged))
    assert_no_secret(s3, *said)
    assert "NOTTHISONE" not in " ".join(said)


async def test_a_bucket_that_cannot_be_made(tmp_path: Path) -> None:
    says = "the object store has no bucket nowhere, and making it failed: "
    # A server of its own: rclone knows its folders for five minutes, and this file must be new to it.
    async with s3_server(Rclone, tmp_path) as s3:
        async with open_objects(s3.settings("p")) as store:
            await store.put("k", chunks(b"x"))
        (s3.folder / "buckets" / "nowhere").touch()  # a file where the bucket would be
        with capture_logs() as logged:
            async with open_objects(s3.settings(url="s3://nowhere")) as store:
                for _ in range(2):
                    with pytest.raises(Transient, match=says):
                        await store.put("k", chunks(b"x"))
    assert says in str(logged)


async def test_keys_for_one_bucket_alone(seaweedfs: RunningS3) -> None:
    guest = {
        "s3_key_file": str(seaweedfs.guest.key_file),
        "s3_secret_file": str(seaweedfs.guest.secret_file),
    }
    async with open_objects(seaweedfs.settings(url="s3://nowhere", **guest)) as store:
        with pytest.raises(Transient, match="these keys may not do that"):
            await store.put("k", chunks(b"x"))
    async with open_objects(seaweedfs.settings("guest", **guest)) as store:
        await store.put("k", chunks(b"x" * 2 * PART_BYTES))
        assert len(await content(store, "k")) == 2 * PART_BYTES
        assert await store.delete_prefix("") == 1


def assert_no_secret(s3: RunningS3, *said: str) -> None:
    """What was said holds nothing of the keys."""
    for text in said:
        for secret in (s3.owner.key, s3.owner.secret, str(s3.owner.secret_file)):
            assert secret not in text
