"""The directory store passes the suite, and what only a directory can do wrong."""

import asyncio
import errno
import os
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deis_bus.errors import Transient
from deis_platform.groups import ObjectsSettings
from deis_platform.objects import BadKey, DirectoryStore, ObjectStore, StoreFull, open_objects
from deis_platform.objects.directory import WRITING
from tests.behaviour.objects import ObjectsSuite, chunks, content


class TestDirectory(ObjectsSuite):
    """Every promise of the port."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        return DirectoryStore(tmp_path / "objects")


def files(folder: Path) -> list[str]:
    """Every file below a folder, half-written ones among them."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def test_half_written_objects_leave_no_file(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        assert len(files(tmp_path)) == 1
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await DirectoryStore(tmp_path).put("a/b", broken())
    assert files(tmp_path) == []


async def test_only_the_owner_may_look(tmp_path: Path) -> None:
    await DirectoryStore(tmp_path / "o").put("a/b", chunks(b"x"))
    assert os.stat(tmp_path / "o").st_mode & 0o777 == 0o700


async def test_what_killed_writers_left_goes_at_the_next_start(tmp_path: Path) -> None:
    writing = tmp_path / WRITING
    writing.mkdir()
    for name in ("stale", "fresh"):
        (writing / name).write_bytes(b"x")
    os.utime(writing / "stale", (1, time.time() - 2 * 24 * 3600))
    async with open_objects(ObjectsSettings(url=f"file://{tmp_path}")):
        assert files(tmp_path) == [f"{WRITING}/fresh"]


async def test_a_key_within_another_object_is_refused(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    await store.put("a", chunks(b"x"))
    await store.put("b/c", chunks(b"y"))
    for key in ("a/b", "b"):
        with pytest.raises(BadKey):
            await store.put(key, chunks(b"z"))
    assert files(tmp_path) == ["a", "b/c"]


async def test_a_full_disk_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DirectoryStore(tmp_path)
    await store.put("k", chunks(b"old"))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreFull):
        await store.put("k", chunks(b"new"))
    monkeypatch.undo()
    assert await content(store, "k") == b"old"
    assert files(tmp_path) == ["k"]


async def test_a_disk_that_fails_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "fsync", broken)
    monkeypatch.setattr(os, "unlink", broken)
    with pytest.raises(Transient, match="broken"):
        await DirectoryStore(tmp_path).put("k", chunks(b"x"))


async def test_room(tmp_path: Path) -> None:
    free = await DirectoryStore(tmp_path / "new").free_bytes()
    assert free is not None
    assert free > 0
    assert await DirectoryStore(tmp_path).has_room()
    assert not await DirectoryStore(tmp_path, min_free_bytes=2**60).has_room()


async def test_deletes_and_puts_of_neighbours_at_once(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)

    async def turn(key: str) -> None:
        for _ in range(30):
            await store.put(key, chunks(b"x"))
            await store.delete(key)

    await asyncio.gather(*(turn(f"a/b/{number}") for number in range(4)))
    assert files(tmp_path) == []


async def test_a_folder_that_vanishes_while_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, make = DirectoryStore(tmp_path), os.mkdir
    lost: list[Path] = []

    def late(path: Path, mode: int = 0o777) -> None:
        if Path(path) == tmp_path / "a" / "b" and len(lost) < 3:
            lost.append(path)
            raise FileExistsError(errno.EEXIST, "it was there a moment ago")
        make(path, mode)

    monkeypatch.setattr(os, "mkdir", late)
    await store.put("a/b/c", chunks(b"x"))
    assert len(lost) == 3
    assert files(tmp_path) == ["a/b/c"]


async def test_a_folder_that_never_stays_is_a_passing_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = os.mkdir

    def gone(path: Path, mode: int = 0o777) -> None:
        if Path(path) == tmp_path / "a":
            raise FileNotFoundError(errno.ENOENT, "gone")
        make(path, mode)

    monkeypatch.setattr(os, "mkdir", gone)
    with pytest.raises(Transient, match="vanish"):
        await DirectoryStore(tmp_path).put("a/b", chunks(b"x"))
    assert files(tmp_path) == []


async def test_a_new_object_that_is_deleted_at_once_was_put_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.replace

    def overtaken(source: Path, target: Path) -> None:
        rename(source, target)
        target.unlink()
        target.parent.rmdir()

    monkeypatch.setattr(os, "replace", overtaken)
    info = await DirectoryStore(tmp_path).put("a/b", chunks(b"x"))
    assert info.size == 1
    assert files(tmp_path) == []


async def test_no_cancel_closes_a_file_that_a_thread_still_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go, used = threading.Event(), threading.Event(), []

    def slow(descriptor: int) -> None:
        begun.set()
        go.wait(60)
        used.append(os.fstat(descriptor).st_size)  # fails where it was closed

    monkeypatch.setattr(os, "fsync", slow)
    task = asyncio.create_task(DirectoryStore(tmp_path).put("k", chunks(b"xyz")))
    await asyncio.to_thread(begun.wait, 60)
    try:
        for _ in range(3):
            task.cancel()
            for _ in range(10):
                await asyncio.sleep(0)
        assert not task.done()
    finally:
        go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert used[0] == 3


@pytest.mark.parametrize(
    "url",
    [
        "",
        "s3://",
        "s3://B",
        "s3://bucket/a//b",
        "s3://u:p@bucket",
        "s3://bucket?x=y",
        "file://host/x",
        "file:relative",
        "/plain",
    ],
)
async def test_urls_that_name_no_folder(url: str) -> None:
    with pytest.raises(ValueError, match="DEIS_OBJECTS_URL"):
        async with open_objects(ObjectsSettings(url=url)):
            pass
