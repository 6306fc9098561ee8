"""Reading ahead, bounded."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from deis_services.gateway.streams.pump import QUEUED, Pump
from tests.behaviour.bus import until


async def test_items_faults_and_ends_come_in_order() -> None:
    async def source() -> AsyncGenerator[int, None]:
        yield 1
        yield 2
        raise LookupError("broken")

    pump = Pump(source())
    assert [await pump.next(10), await pump.next(10)] == [1, 2]
    with pytest.raises(LookupError):
        await pump.next(10)
    await pump.close()


async def test_nothing_in_time_loses_nothing() -> None:
    go_on = asyncio.Event()

    async def source() -> AsyncGenerator[int, None]:
        await go_on.wait()
        yield 1

    pump = Pump(source())
    assert await pump.next(0.01) is None
    go_on.set()
    assert await pump.next(10) == 1
    await pump.close()


async def test_it_reads_ahead_only_so_far_and_closes_its_source() -> None:
    given, closed = 0, False

    async def source() -> AsyncGenerator[int, None]:
        nonlocal given, closed
        try:
            while True:
                given += 1
                yield given
        finally:
            closed = True

    pump = Pump(source())
    await until(lambda: given == QUEUED + 1)
    await pump.close()
    assert closed
    assert given == QUEUED + 1
