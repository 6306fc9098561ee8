"""The feed of versions: a file or a URL, read with care."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from deis_services.manager.feed import MAX_BYTES, BadFeed, Feed, parse

LONG = {f"component-{number}": "1.0.0" for number in range(20_000)}
"""More than comes in one piece."""


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b'{"router": 1}',
        b'{"router": "newest"}',
        b'{"router": "1.2.3\\n"}',
        b" " * (MAX_BYTES + 1),
    ],
)
def test_what_is_no_feed_is_refused(raw: bytes) -> None:
    with pytest.raises(BadFeed):
        parse(raw)


def test_versions_by_component() -> None:
    assert parse(b'{"workflow": "v0.2.0", "router": "1.2"}') == {
        "workflow": "v0.2.0",
        "router": "1.2",
    }


async def read_once(feed: Feed) -> dict[str, str]:
    stop, read = asyncio.Event(), asyncio.Event()
    feed.listeners.append(read.set)
    running = asyncio.create_task(feed.run(stop))
    async with asyncio.timeout(20):
        await read.wait()
    stop.set()
    await running
    return feed.latest


async def test_out_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "versions.json"
    path.write_text(json.dumps({"workflow": "0.2.0"}))
    assert await read_once(Feed(str(path), 60.0)) == {"workflow": "0.2.0"}
    assert await read_once(Feed(f"file://{path}", 60.0)) == {"workflow": "0.2.0"}


@asynccontextmanager
async def served(
    *answers: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    """A URL that gives these answers, one after the other, and the last one for ever."""
    left = list(answers)

    async def versions(request: web.Request) -> web.StreamResponse:
        return await (left.pop(0) if len(left) > 1 else left[0])(request)

    app = web.Application()
    app.router.add_get("/versions.json", versions)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/versions.json"
    finally:
        await runner.cleanup()


async def found(_: web.Request) -> web.StreamResponse:
    return web.json_response({"router": "0.4.0"})


async def away(_: web.Request) -> web.StreamResponse:
    return web.Response(status=503)


async def too_large(_: web.Request) -> web.StreamResponse:
    return web.Response(body=b" " * (MAX_BYTES + 1))


async def long(_: web.Request) -> web.StreamResponse:
    return web.json_response(LONG)


async def test_from_a_url() -> None:
    async with served(found) as url:
        assert await read_once(Feed(url, 60.0)) == {"router": "0.4.0"}


@pytest.mark.parametrize("first", [away, too_large])
async def test_a_url_that_gives_no_feed_is_asked_again(
    first: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> None:
    async with served(first, found) as url:
        assert await read_once(Feed(url, 0.01)) == {"router": "0.4.0"}


async def test_a_feed_that_comes_in_parts_is_read_whole() -> None:
    async with served(long) as url:
        assert await read_once(Feed(url, 60.0)) == LONG


async def test_without_a_feed_nothing_is_known() -> None:
    stop = asyncio.Event()
    stop.set()
    feed = Feed("", 60.0)
    await feed.run(stop)
    assert feed.latest == {}
