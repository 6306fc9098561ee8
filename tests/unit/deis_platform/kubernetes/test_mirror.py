"""A mirror holds what a server has, through every fault, and tells each difference once."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deis_platform import logs
from deis_platform.kubernetes import (
    Change,
    Kubernetes,
    Listing,
    Meta,
    Mirror,
    View,
    kinds,
)
from deis_platform.kubernetes import mirror as mirrors
from tests.unit.deis_platform.kubernetes.fake import (
    PATIENCE,
    Fake,
    bookmark,
    cut,
    event,
    lines,
    listing,
    obj,
    refusal,
    told,
)

MAP = kinds.CONFIG_MAP


class Said:
    """What a mirror told, as `(key, old version, new version)`."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str, str]] = []
        self._more = asyncio.Event()

    def __call__(self, key: str, old: View | None, new: View | None) -> None:
        was, now = (view.metadata.resource_version if view else "" for view in (old, new))
        self.all.append((key, was, now))
        self._more.set()

    async def until(self, count: int) -> None:
        """Wait for that many, all told."""
        async with asyncio.timeout(PATIENCE):
            while len(self.all) < count:
                self._more.clear()
                await self._more.wait()


class Pauses:
    """None at all, but counted."""

    def __init__(self) -> None:
        self.taken = 0
        self.begun = 0

    def __call__(self) -> Iterator[float]:
        self.begun += 1
        while True:
            self.taken += 1
            yield 0.0


@contextlib.asynccontextmanager
async def running(mirror: Mirror[Any]) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(mirror.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


def versions(mirror: Mirror[View]) -> dict[str, str]:
    return {key: view.metadata.resource_version for key, view in mirror.items.items()}


def mirrored(api: Kubernetes, **more: Any) -> tuple[Mirror[View], Said]:
    said = Said()
    return Mirror(api, MAP, View, heard=said, pauses=Pauses(), **more), said


async def test_lists_then_follows(fake: Fake, api: Kubernetes) -> None:
    fake.will(
        listing(obj("a", 1), obj("b", 2), version=5),
        lines(
            event("ADDED", obj("c", 6)), event("MODIFIED", obj("a", 7)), event("DELETED", obj("b", 8)),
            then=fake.hang,
        ),
    )  # fmt: skip
    mirror, said = mirrored(api, namespace="blog", labels="heritage=deis", fields="a=b")
    async with running(mirror):
        await said.until(5)
        assert mirror.synced.is_set()
    assert said.all == [
        ("blog/a", "", "1"),
        ("blog/b", "", "2"),
        ("blog/c", "", "6"),
        ("blog/a", "1", "7"),
        ("blog/b", "2", ""),
    ]
    assert versions(mirror) == {"blog/a": "7", "blog/c": "6"}
    assert {asked.query["labelSelector"] for asked in fake.asked} == {"heritage=deis"}
    assert {asked.query["fieldSelector"] for asked in fake.asked} == {"a=b"}
    assert fake.asked[1].query["resourceVersion"] == "5"


async def test_goes_on_where_a_watch_ended(fake: Fake, api: Kubernetes) -> None:
    fake.will(
        listing(version=5),
        lines(event("ADDED", obj("a", 6))),
        lines(bookmark(40)),
        lines(event("ADDED", obj("b", 41)), then=cut),
        lines(event("ADDED", obj("c", 42)), rest=b'{"type":"ADDED","obj'),
    )
    mirror, _ = mirrored(api)
    async with running(mirror):
        await fake.until_asked(6)
    asked = [one.query.get("resourceVersion") for one in fake.asked]
    assert asked == [None, "5", "6", "40", "41", "42"]
    assert versions(mirror) == {"blog/a": "6", "blog/b": "41", "blog/c": "42"}


@pytest.mark.parametrize(
    "gone",
    [
        refusal(410, "Expired"),
        lines(event("ERROR", told(410, "Expired"))),
        refusal(400, message="a version of another server"),
    ],
)
async def test_lists_again_when_its_version_is_refused(
    fake: Fake, api: Kubernetes, gone: Any
) -> None:
    fake.will(
        listing(obj("stays", 1), obj("changes", 2), obj("goes", 3), version=5),
        gone,
        listing(obj("stays", 1), obj("changes", 7), obj("comes", 8), version=9),
    )
    mirror, said = mirrored(api)
    async with running(mirror):
        await fake.until_asked(4)
    assert set(said.all[3:]) == {
        ("blog/goes", "3", ""),
        ("blog/changes", "2", "7"),
        ("blog/comes", "", "8"),
    }
    assert fake.asked[3].query["resourceVersion"] == "9"


@pytest.mark.parametrize("fault", [refusal(500), refusal(429), refusal(401), refusal(403), cut])
async def test_items_stand_while_the_server_is_away(
    fake: Fake, api: Kubernetes, fault: Any
) -> None:
    fake.will(listing(obj("a", 1), version=5), fault, fault, fault)
    fake.will(*[fault] * 2)
    mirror, said = mirrored(api)
    async with running(mirror):
        await fake.until_asked(6)
        assert mirror.synced.is_set()
        assert versions(mirror) == {"blog/a": "1"}
    assert said.all == [("blog/a", "", "1")]


async def test_a_server_that_ends_each_watch_at_once_is_not_asked_without_a_pause(
    fake: Fake, api: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "SHORT_SECONDS", 3600.0)  # of a slow machine too
    pauses = Pauses()
    fake.will(listing(version=5), *[lines()] * 4)
    async with running(Mirror(api, MAP, View, pauses=pauses)):
        await fake.until_asked(6)
    assert (pauses.begun, pauses.taken) == (1, 4)


async def test_news_begins_the_pauses_anew(fake: Fake, api: Kubernetes) -> None:
    pauses = Pauses()
    fake.will(listing(version=5), refusal(500), lines(bookmark(6)), refusal(500), refusal(500))
    async with running(Mirror(api, MAP, View, pauses=pauses)):
        await fake.until_asked(6)
    assert (pauses.begun, pauses.taken) == (2, 3)


async def test_news_of_a_watch_that_breaks_after_it_counts_too(fake: Fake, api: Kubernetes) -> None:
    pauses = Pauses()
    fake.will(listing(version=5), refusal(500), lines(bookmark(6), then=cut), refusal(500))
    async with running(Mirror(api, MAP, View, pauses=pauses)):
        await fake.until_asked(5)
    assert (pauses.begun, pauses.taken) == (2, 3)


async def test_an_outage_is_two_lines_in_the_log(fake: Fake, api: Kubernetes) -> None:
    written = io.StringIO()
    logs.set_up(stream=written)
    fake.will(listing(version=5), *[refusal(500)] * 20, *[refusal(403)] * 6, listing(version=6))
    fake.will(lines(bookmark(7), then=fake.hang))
    said = Said()
    async with running(Mirror(api, MAP, View, heard=said, pauses=Pauses())):
        await fake.until_asked(29)
        await fake.until(lambda: fake.open == 1)
        fake.will(lines(event("ADDED", obj("a", 9))))
        fake.close()
        await said.until(1)
    told_lines = [line for line in written.getvalue().splitlines() if "configmaps" in line]
    assert [line.split(" ", 2)[1] for line in told_lines] == ["WARNING", "WARNING", "INFO"]
    assert "500" in told_lines[0]


async def test_one_broken_watch_is_no_line_in_the_log(fake: Fake, api: Kubernetes) -> None:
    written = io.StringIO()
    logs.set_up(stream=written)
    fake.will(listing(version=5), cut, lines(bookmark(6)), cut, lines(bookmark(7)))
    async with running(mirrored(api)[0]):
        await fake.until_asked(6)
    assert written.getvalue() == ""


async def test_stops_in_the_middle_of_everything(fake: Fake, api: Kubernetes) -> None:
    async with running(mirrored(api)[0]):
        await fake.until(lambda: fake.open == 1)  # the list
    await fake.until(lambda: fake.open == 0)
    fake.will(listing(version=5))
    async with running(mirrored(api)[0]):
        await fake.until_asked(3)
        await fake.until(lambda: fake.open == 1)  # the watch
    await fake.until(lambda: fake.open == 0)


async def test_a_listener_that_fails_is_not_hidden(fake: Fake, api: Kubernetes) -> None:
    def heard(_key: str, _old: View | None, _new: View | None) -> None:
        raise LookupError("a bug")

    fake.will(listing(obj("a", 1)))
    with pytest.raises(LookupError):
        await Mirror(api, MAP, View, heard=heard).run(asyncio.Event())


async def test_what_a_write_answered_is_heard_once(fake: Fake, api: Kubernetes) -> None:
    fake.will(
        listing(obj("a", 1), version=5),
        lines(event("MODIFIED", obj("a", 6)), event("ADDED", obj("b", 7))),
    )
    fake.will(refusal(500))
    mirror, said = mirrored(api)
    mirror.learn(obj("a", 6))
    mirror.learn(obj("b", 7))
    async with running(mirror):
        await fake.until_asked(3)
    assert said.all == [("blog/a", "", "6"), ("blog/b", "", "7")]


class Store:
    """A collection that a mirror lists and watches in place of an API server, step by step."""

    def __init__(self) -> None:
        self.version = 10
        self.now: dict[str, View] = {}
        self.past: list[Change[View]] = []
        self.answers: list[View] = []
        """Of writes, not yet learned."""
        self.listed: Listing[View] | None = None
        """A list that was made and has not arrived."""

    def write(self, name: str) -> None:
        kind = "MODIFIED" if name in self.now else "ADDED"
        self.now[name] = self._next(kind, name)
        self.answers.append(self.now[name])

    def remove(self, name: str) -> None:
        if self.now.pop(name, None) is not None:
            self._next("DELETED", name)

    def make_list(self) -> None:
        self.listed = Listing(list(self.now.values()), str(self.version))

    async def list(self, *_: Any, **__: Any) -> Listing[View]:
        """Asked by the mirror."""
        if self.listed is None:
            self.make_list()
        listed, self.listed = self.listed, None
        assert listed is not None
        return listed

    def after(self, version: str) -> Sequence[Change[View]]:
        """What a watch from there on tells."""
        return [one for one in self.past if int(_version(one.object)) > int(version)]

    def _next(self, kind: str, name: str) -> View:
        self.version += 1
        view = View(metadata=Meta(name=name, resource_version=str(self.version)))
        self.past.append(Change(kind, view))
        return view


def _version(view: View) -> str:
    return view.metadata.resource_version


STEPS = st.lists(
    st.sampled_from(
        [
            "write a",
            "write b",
            "remove a",
            "remove b",
            "learn",
            "learn last",
            "hear",
            "hear all",
            "make list",
            "list",
        ]
    ),
    max_size=40,
)


@given(STEPS)
@example(["write a", "write a", "learn", "learn", "hear"])  # news older than what was learned
@example(["write a", "hear", "remove a", "write a", "learn", "learn", "hear"])  # an older end, too
@example(["write a", "write a", "learn last", "learn"])  # answers that overtake each other
@example(["write a", "hear all", "remove a", "hear", "learn"])  # an answer after its object's end
@example(["make list", "write a", "learn", "list"])  # a list older than what was learned
@example(["write a", "make list", "write a", "learn", "learn", "list"])
@settings(deadline=None)
def test_news_in_any_order_ends_in_the_truth(steps: list[str]) -> None:
    """Answers of writes come before or after their news, and lists are older than both: no object
    comes back from the dead, and each change is told once."""
    asyncio.run(_play(steps))


async def _play(steps: list[str]) -> None:
    store, heard_of = Store(), dict[str, View]()

    def heard(key: str, old: View | None, new: View | None) -> None:
        assert heard_of.pop(key, None) == old
        if new is not None:
            assert old is None or int(_version(old)) < int(_version(new))
            heard_of[key] = new

    mirror: Mirror[View] = Mirror(store, MAP, View, heard=heard)  # type: ignore[arg-type]
    mirror._version = await mirror._relist()
    for what in [*steps, "take list", "hear all"]:
        if what.startswith("write"):
            store.write(what[-1])
        elif what.startswith("remove"):
            store.remove(what[-1])
        elif what.startswith("learn") and store.answers:
            answer = store.answers.pop(-1 if what == "learn last" else 0)
            mirror.learn(msgspec.to_builtins(answer))
        elif what == "make list" and store.listed is None:
            store.make_list()
        elif what == "list" or (what == "take list" and store.listed is not None):
            mirror._version = await mirror._relist()
        elif what.startswith("hear") and store.listed is None:  # never while a list is under way
            news = store.after(mirror._version)
            for change in news if what == "hear all" else news[:1]:
                mirror._take(change)
    assert mirror.items == heard_of == store.now
    assert mirror._learned == set()
    for answer in store.answers:  # those that come after everything was heard
        mirror.learn(msgspec.to_builtins(answer))
    assert mirror.items == heard_of == store.now
