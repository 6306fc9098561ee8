"""The work queue: puts merge, one key at a time, N in parallel, nothing is forgotten."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from deis_bus.errors import Transient
from deis_platform.workqueue import MANY, Handle, WorkQueue
from tests.unit.deis_platform.hand_loop import JumpingLoop, jumping, now


def doubling() -> Iterator[float]:
    """1, 2, 4, 8 …"""
    pause = 1.0
    while True:
        yield pause
        pause *= 2


@contextlib.asynccontextmanager
async def working(handle: Handle, parallel: int = 8) -> AsyncIterator[WorkQueue]:
    """A queue at work, stopped at the end."""
    queue = WorkQueue(handle, parallel=parallel, pauses=doubling)
    stop = asyncio.Event()
    task = asyncio.create_task(queue.run(stop))
    try:
        yield queue
    finally:
        stop.set()
        await task


class Notes:
    """A handler that takes some time and writes down when it worked on what."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.begun: list[tuple[str, float]] = []
        self.at_once: dict[str, int] = {}
        self.most = 0

    async def __call__(self, key: str) -> float | None:
        self.begun.append((key, now()))
        self.at_once[key] = self.at_once.get(key, 0) + 1
        assert self.at_once[key] == 1, "two work on one key"
        self.most = max(self.most, sum(self.at_once.values()))
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.at_once[key] -= 1
        return None


@jumping
async def test_puts_of_a_key_that_waits_merge() -> None:
    notes = Notes(1)
    async with working(notes, parallel=1) as queue:
        for key in ("a", "b", "b", "b", "a"):
            queue.put(key)
        assert len(queue) == 2
        await asyncio.sleep(10)
        assert len(queue) == 0
    assert notes.begun == [("a", 0), ("b", 1)]


@jumping
async def test_a_put_during_the_work_brings_the_key_once_more() -> None:
    notes = Notes(10)
    async with working(notes) as queue:
        queue.put("a")
        await asyncio.sleep(5)
        queue.put("a")
        queue.put("a")
        assert len(queue) == 1
        await asyncio.sleep(50)
    assert notes.begun == [("a", 0), ("a", 10)]


@jumping
async def test_so_many_keys_are_worked_on_together_and_no_more() -> None:
    notes = Notes(10)
    async with working(notes, parallel=3) as queue:
        for key in "abcdefg":
            queue.put(key)
        await asyncio.sleep(100)
    assert notes.most == 3
    assert [at for _, at in notes.begun] == [0, 0, 0, 10, 10, 10, 20]


@jumping
async def test_a_later_put_waits_and_an_earlier_one_wins() -> None:
    notes = Notes()
    async with working(notes) as queue:
        queue.put("a", 30)
        queue.put("a", 10)
        queue.put("a", 20)
        queue.put("b", 30)
        assert len(queue) == 2
        await asyncio.sleep(5)
        queue.put("b")
        await asyncio.sleep(100)
    assert notes.begun == [("b", 5), ("a", 10)]


@jumping
async def test_a_handler_may_ask_to_see_the_key_again() -> None:
    begun: list[float] = []

    async def handle(key: str) -> float | None:
        begun.append(now())
        return 7.0 if len(begun) < 3 else None

    async with working(handle) as queue:
        queue.put("a")
        await asyncio.sleep(100)
        assert len(queue) == 0
    assert begun == [0, 7, 14]


@jumping
@pytest.mark.parametrize("fault", [Transient("the database is away"), LookupError("a bug")])
async def test_a_key_that_fails_comes_back_after_growing_pauses(fault: Exception) -> None:
    begun: list[tuple[str, float]] = []

    async def handle(key: str) -> float | None:
        begun.append((key, now()))
        if key == "bad" and len(begun) in (1, 3, 4, 6):
            raise fault
        return None

    async with working(handle) as queue:
        queue.put("bad")
        await asyncio.sleep(0.5)
        queue.put("good")
        await asyncio.sleep(99.5)
        queue.put("bad")
        await asyncio.sleep(100)
    assert begun == [
        ("bad", 0), ("good", 0.5), ("bad", 1), ("bad", 3), ("bad", 7), ("bad", 100), ("bad", 101),
    ], "after a success the pauses begin anew"  # fmt: skip


@jumping
async def test_a_put_does_not_wait_for_the_pause_of_a_fault() -> None:
    begun: list[float] = []

    async def handle(key: str) -> float | None:
        begun.append(now())
        if len(begun) == 1:
            raise Transient("away")
        return None

    async with working(handle) as queue:
        queue.put("a")
        await asyncio.sleep(0.5)
        queue.put("a")
        await asyncio.sleep(100)
    assert begun == [0, 0.5]


@jumping
async def test_a_stop_finishes_what_is_worked_on_and_begins_nothing() -> None:
    notes = Notes(10)
    async with working(notes, parallel=1) as queue:
        queue.put("a")
        queue.put("b")
        await asyncio.sleep(1)
    assert now() == 10
    assert notes.begun == [("a", 0)]
    assert len(queue) == 1


@jumping
async def test_what_was_left_undone_comes_first_when_it_runs_again() -> None:
    notes = Notes(10)
    queue = WorkQueue(notes, parallel=1)
    first = asyncio.create_task(queue.run(asyncio.Event()))
    queue.put("cut off")
    queue.put("waiting")
    queue.put("later", 500)
    await asyncio.sleep(1)
    first.cancel()
    await asyncio.wait({first})
    queue.put("between")
    stop = asyncio.Event()
    again = asyncio.create_task(queue.run(stop))
    await asyncio.sleep(100)
    stop.set()
    await again
    assert sorted(key for key, _ in notes.begun) == [
        "between",
        "cut off",
        "cut off",
        "later",
        "waiting",
    ]
    assert len(queue) == 0


@jumping
async def test_what_is_put_before_it_runs_is_not_lost() -> None:
    notes = Notes()
    queue = WorkQueue(notes)
    queue.put("a")
    stop = asyncio.Event()
    task = asyncio.create_task(queue.run(stop))
    await asyncio.sleep(1)
    stop.set()
    await task
    assert notes.begun == [("a", 0)]


puts = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(0, 9), st.integers(0, 5)), max_size=25
)


@settings(deadline=None)
@given(puts, st.integers(0, 3), st.integers(1, 3))
def test_nothing_is_forgotten(
    script: list[tuple[str, int, int]], seconds: int, parallel: int
) -> None:
    """After its last put every key was worked on once more, begun at or after that put."""
    notes = Notes(seconds)
    last: dict[str, float] = {}

    async def main() -> None:
        async with working(notes, parallel) as queue:
            for key, delay, pause in script:
                queue.put(key, delay)
                last[key] = now()
                await asyncio.sleep(pause)
            await asyncio.sleep(1000)
            assert len(queue) == 0

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(main())
    assert notes.most <= parallel
    for key, put in last.items():
        assert max(at for name, at in notes.begun if name == key) >= put


@pytest.mark.parametrize(("keys", "told"), [(MANY - 1, []), (MANY, [MANY])])
async def test_many_looks_in_one_go_are_told_once_they_are_through(
    keys: int, told: list[int]
) -> None:
    through = asyncio.Event()

    async def handle(key: str) -> None:
        await asyncio.sleep(0)
        if key == f"app {keys - 1}":
            through.set()

    with capture_logs() as logs:
        async with working(handle, parallel=4) as queue:
            for number in range(keys):
                queue.put(f"app {number}")
            await through.wait()
        async with working(handle) as queue:
            queue.put("one alone")
    assert [line["looks"] for line in logs if line["event"] == "worked through"] == told
