"""What every key-value bucket does; see bus.py for how a suite is inherited."""

import asyncio

from deis_bus.ports import Bus, Entry
from deis_bus.streams import ROUTES, Bucket
from tests.behaviour.bus import at_once, one, take


class KeysSuite:
    """Key-value buckets."""

    async def test_a_value_is_kept_and_replaced(self, bus: Bus, other: Bus) -> None:
        keys = bus.keys(ROUTES)
        assert await keys.get("app.blog") is None
        first = await keys.put("app.blog", b"1")
        second = await keys.put("app.blog", b"2")
        assert second > first
        assert await other.keys(ROUTES).get("app.blog") == Entry("app.blog", b"2", second)

    async def test_entries_are_the_present_keys(self, bus: Bus) -> None:
        keys = bus.keys(ROUTES)
        assert await keys.entries() == []
        await keys.put("app.blog", b"1")
        await keys.put("up.blog", b"2")
        await keys.put("app.blog", b"3")
        await keys.delete("up.blog")
        assert [(e.key, e.data) for e in await keys.entries()] == [("app.blog", b"3")]

    async def test_a_deleted_key_is_gone(self, bus: Bus) -> None:
        keys = bus.keys(ROUTES)
        revision = await keys.put("app.blog", b"1")
        assert await keys.delete("app.blog") > revision
        assert await keys.get("app.blog") is None
        await keys.delete("app.never")
        assert await keys.entries() == []

    async def test_an_update_needs_the_revision(self, bus: Bus) -> None:
        keys = bus.keys(ROUTES)
        first = await keys.put("app.blog", b"1")
        second = await keys.update("app.blog", b"2", first)
        assert second is not None
        assert second > first
        assert await keys.update("app.blog", b"3", first) is None
        assert await keys.update("app.blog", b"3", 0) is None
        assert (await keys.get("app.blog") or Entry("", b"", 0)).data == b"2"

    async def test_an_update_from_nothing_makes_the_key(self, bus: Bus) -> None:
        keys = bus.keys(ROUTES)
        assert await keys.update("app.blog", b"1", 0) is not None
        assert await keys.update("app.blog", b"1", 0) is None
        await keys.delete("app.blog")
        assert await keys.update("app.blog", b"2", 0) is not None

    async def test_of_many_updates_at_once_one_wins(self, bus: Bus, other: Bus) -> None:
        results = await asyncio.gather(
            *((bus, other)[n % 2].keys(ROUTES).update("lock", b"%d" % n, 0) for n in range(10))
        )
        assert len([result for result in results if result is not None]) == 1

    async def test_a_watch_tells_the_present_then_none_then_changes(
        self, bus: Bus, other: Bus
    ) -> None:
        keys = bus.keys(ROUTES)
        await keys.put("app.gone", b"0")
        await keys.put("app.blog", b"1")
        await keys.put("app.shop", b"2")
        await keys.delete("app.gone")
        watch = other.keys(ROUTES).watch()
        present = await take(watch, 3)
        assert [(e.key, e.data) if e else None for e in present] == [
            ("app.blog", b"1"),
            ("app.shop", b"2"),
            None,
        ]
        changed = await keys.put("app.blog", b"3")
        removed = await keys.delete("app.shop")
        assert await take(watch, 2) == [
            Entry("app.blog", b"3", changed),
            Entry("app.shop", None, removed),
        ]

    async def test_a_watch_of_an_empty_bucket_is_complete_at_once(self, bus: Bus) -> None:
        watch = bus.keys(ROUTES).watch()
        assert await one(watch) is None
        await bus.keys(ROUTES).put("app.blog", b"1")
        assert (await one(watch) or Entry("", None, 0)).key == "app.blog"

    async def test_a_large_present_is_told_whole(self, bus: Bus) -> None:
        keys = bus.keys(ROUTES)
        await at_once(600, lambda n: keys.put(f"app.a{n}", b"{}"))
        watch = keys.watch()
        present = await take(watch, 600)
        assert {entry.key for entry in present if entry} == {f"app.a{n}" for n in range(600)}
        assert await one(watch) is None

    async def test_keys_that_nobody_renews_go_and_the_watch_tells(self, bus: Bus) -> None:
        short = Bucket(name="short", ttl_seconds=1.5)
        await bus.ensure((), (short,))
        keys = bus.keys(short)
        watch = keys.watch()
        assert await one(watch) is None
        await keys.put("router-1", b"1")
        assert (await one(watch) or Entry("", None, 0)).data == b"1"
        gone = await one(watch)
        assert gone is not None
        assert (gone.key, gone.data) == ("router-1", None)
        assert await keys.entries() == []
        assert await keys.get("router-1") is None
