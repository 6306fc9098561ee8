"""Waiting for one of several things; what loses is ended before the wait returns."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

T = TypeVar("T")


async def unless(stop: asyncio.Event, work: Awaitable[T], seconds: float | None = None) -> T | None:
    """What `work` gives or raises; None when `stop` is set or the time is over before it ends."""
    working, stopping = asyncio.ensure_future(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait(
            {working, stopping}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        working.cancel()
        stopping.cancel()
        await asyncio.wait({working, stopping})
    return None if working.cancelled() else working.result()


async def first(*works: Awaitable[Any]) -> int:
    """Run them together until one ends; gives its place and raises what it raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for place, task in enumerate(tasks):
            if task in done:
                task.result()
                return place
        raise RuntimeError("asyncio.wait gave nothing")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
