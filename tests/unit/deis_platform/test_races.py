"""What wins, and that what loses has ended."""

import asyncio
from typing import NoReturn

import pytest

from deis_platform.races import first, unless


class Endless:
    """Work that notes its end."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = False

    async def run(self) -> NoReturn:
        self.begun.set()
        try:
            await asyncio.Event().wait()
            raise AssertionError("nobody sets it")
        finally:
            await asyncio.sleep(0)
            self.ended = True


async def test_the_work_wins_with_what_it_gives_or_raises() -> None:
    async def gives() -> str:
        return "x"

    async def raises() -> None:
        raise LookupError("broken")

    stop = asyncio.Event()
    assert await unless(stop, gives()) == "x"
    with pytest.raises(LookupError, match="broken"):
        await unless(stop, raises())
    stop.set()
    assert await unless(stop, gives()) in ("x", None)


async def test_a_stop_ends_the_work_before_it_returns() -> None:
    stop, work = asyncio.Event(), Endless()
    racing = asyncio.create_task(unless(stop, work.run()))
    await work.begun.wait()
    stop.set()
    await racing
    assert work.ended


async def test_the_time_ends_the_work_too() -> None:
    work = Endless()
    await unless(asyncio.Event(), work.run(), 0.01)
    assert work.ended


async def test_a_cancelled_wait_leaves_nothing_running() -> None:
    work = Endless()
    racing = asyncio.create_task(unless(asyncio.Event(), work.run()))
    await work.begun.wait()
    racing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await racing
    assert work.ended


async def test_the_first_to_end_ends_the_others() -> None:
    ended: list[str] = []

    async def forever(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    async def soon() -> None:
        await asyncio.sleep(0)

    async def broken() -> None:
        raise LookupError

    assert await first(forever("a"), soon(), forever("b")) == 1
    assert sorted(ended) == ["a", "b"]
    with pytest.raises(LookupError):
        await first(forever("c"), broken())
    assert ended[2:] == ["c"]
