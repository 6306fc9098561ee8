"""The clock that tests turn by hand, and the real one."""

import asyncio
import datetime

from deis_platform.clock import HandClock, SystemClock


async def test_it_stands_still_until_it_is_turned() -> None:
    clock = HandClock(datetime.datetime(2027, 2, 1, tzinfo=datetime.UTC))
    log: list[str] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        log.append(f"{name} {clock.monotonic():g}")

    tasks = [asyncio.create_task(sleeper(*one)) for one in (("b", 20), ("a", 10), ("c", 20))]
    gone = asyncio.create_task(sleeper("gone", 5))
    await asyncio.sleep(0)
    gone.cancel()
    clock.advance(10)
    await asyncio.wait_for(tasks[1], 10)
    assert log == ["a 10"]
    clock.advance(15)
    await asyncio.wait_for(asyncio.gather(*tasks), 10)
    assert log == ["a 10", "b 25", "c 25"]
    assert clock.now() == datetime.datetime(2027, 2, 1, 0, 0, 25, tzinfo=datetime.UTC)


async def test_no_time_is_no_wait() -> None:
    clock = HandClock()
    await asyncio.wait_for(clock.sleep(0), 10)
    await asyncio.wait_for(clock.sleep(-1), 10)


async def test_the_real_clock_is_aware_and_grows() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0)
    assert clock.monotonic() >= before
    assert clock.now().tzinfo is datetime.UTC
