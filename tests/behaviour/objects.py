"""What every object store does; inherit `ObjectsSuite` and give the fixture `store`."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from deis_platform.objects import BadKey, NoObject, ObjectStore, TooLarge

BIG = 600_000
"""More than two chunks."""


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    """A source of bytes."""
    for part in parts:
        yield part


async def content(store: ObjectStore, key: str) -> bytes:
    """An object, read whole."""
    async with store.get(key) as (info, parts):
        data = b"".join([part async for part in parts])
    assert info.size == len(data)
    return data


class ObjectsSuite:
    """The port's promises."""

    async def test_what_was_put_is_read(self, store: ObjectStore) -> None:
        info = await store.put("slugs/a/1-1.tgz", chunks(b"ab", b"", b"c"))
        assert (info.key, info.size) == ("slugs/a/1-1.tgz", 3)
        assert await store.head("slugs/a/1-1.tgz") == info
        assert await content(store, "slugs/a/1-1.tgz") == b"abc"

    async def test_big_and_empty_objects(self, store: ObjectStore) -> None:
        data = bytes(range(256)) * (BIG // 256)
        await store.put("big", chunks(data))
        await store.put("empty", chunks())
        assert await content(store, "big") == data
        assert await content(store, "empty") == b""

    async def test_putting_again_replaces_and_changes_the_tag(self, store: ObjectStore) -> None:
        first = await store.put("k", chunks(b"one"))
        second = await store.put("k", chunks(b"two"))
        assert first.etag != second.etag
        assert await content(store, "k") == b"two"

    async def test_nothing_is_kept_of_what_is_too_large(self, store: ObjectStore) -> None:
        await store.put("k", chunks(b"old"))
        with pytest.raises(TooLarge):
            await store.put("k", chunks(b"123", b"45"), max_bytes=4)
        with pytest.raises(TooLarge):
            await store.put("other", chunks(b"12345"), max_bytes=4)
        await store.put("exact", chunks(b"1234"), max_bytes=4)
        assert await content(store, "k") == b"old"
        assert [info.key for info in await store.list()] == ["exact", "k"]

    async def test_a_source_that_breaks_leaves_the_old_object(self, store: ObjectStore) -> None:
        async def broken() -> AsyncIterator[bytes]:
            yield b"new"
            raise ConnectionResetError("gone")

        await store.put("k", chunks(b"old"))
        for key in ("k", "fresh"):
            with pytest.raises(ConnectionResetError):
                await store.put(key, broken())
        assert await content(store, "k") == b"old"
        assert [info.key for info in await store.list()] == ["k"]

    async def test_a_cancelled_put_leaves_nothing(self, store: ObjectStore) -> None:
        begun = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"x" * BIG
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(store.put("k", slow()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await store.list() == []

    async def test_a_reader_keeps_what_it_opened(self, store: ObjectStore) -> None:
        old, new = b"o" * BIG, b"n" * BIG
        await store.put("k", chunks(old))
        async with store.get("k") as (_, parts):
            first = await anext(parts)
            await store.put("k", chunks(new))
            await store.delete("k")
            rest = b"".join([part async for part in parts])
        assert first + rest == old

    async def test_writers_of_one_key_do_not_mix(self, store: ObjectStore) -> None:
        def whole(letter: bytes) -> AsyncIterator[bytes]:
            return chunks(*[letter * 1000] * 50)

        await asyncio.gather(*(store.put("k", whole(letter)) for letter in (b"a", b"b", b"c")))
        data = await content(store, "k")
        assert len(data) == 50_000
        assert len(set(data)) == 1

    async def test_an_absent_object(self, store: ObjectStore) -> None:
        await store.put("a/b", chunks(b"x"))
        for key in ("nothing", "a", "a/b/c", "a/c"):
            with pytest.raises(NoObject):
                await store.head(key)
            with pytest.raises(NoObject):
                await content(store, key)
            await store.delete(key)
        assert await content(store, "a/b") == b"x"

    async def test_deleting(self, store: ObjectStore) -> None:
        for key in ("slugs/a/1", "slugs/a/2", "slugs/ab/1", "sources/a/1"):
            await store.put(key, chunks(b"x"))
        await store.delete("slugs/a/1")
        assert await store.delete_prefix("slugs/a/") == 1
        assert await store.delete_prefix("slugs/a/") == 0
        assert [info.key for info in await store.list()] == ["slugs/ab/1", "sources/a/1"]

    async def test_listing_by_prefix_in_order(self, store: ObjectStore) -> None:
        for key in ("b/2", "b/1", "a", "bc/1"):
            await store.put(key, chunks(key.encode()))
        assert [(info.key, info.size) for info in await store.list("b/")] == [
            ("b/1", 3),
            ("b/2", 3),
        ]
        assert len(await store.list()) == 4
        assert await store.list("c/") == []

    @pytest.mark.parametrize(
        "key",
        [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/../b",
            "a/.b",
            "a b",
            "a\n",
            "ä",
            "a\\b",
            "a" * 513,
        ],
    )
    async def test_what_is_no_key_is_refused(self, store: ObjectStore, key: str) -> None:
        with pytest.raises(BadKey):
            await store.put(key, chunks(b"x"))
        with pytest.raises(BadKey):
            await store.head(key)
        with pytest.raises(BadKey):
            await content(store, key)
        with pytest.raises(BadKey):
            await store.delete(key)

    @pytest.mark.parametrize("prefix", ["a", "/", "../", "a/../", "a//"])
    async def test_what_is_no_prefix_is_refused(self, store: ObjectStore, prefix: str) -> None:
        with pytest.raises(BadKey):
            await store.delete_prefix(prefix)
        with pytest.raises(BadKey):
            await store.list(prefix)
