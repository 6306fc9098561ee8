"""The feed of versions: a file or a URL, read with care."""

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web

from deis_services.manager.feed import MAX_BYTES, BadFeed, Feed, parse


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
    stop = asyncio.Event()
    running = asyncio.create_task(feed.run(stop))
    async with asyncio.timeout(20):
        await feed.changed.wait()
    stop.set()
    await running
    return feed.latest


async def test_out_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "versions.json"
    path.write_text(json.dumps({"workflow": "0.2.0"}))
    assert await read_once(Feed(str(path), 60.0)) == {"workflow": "0.2.0"}
    assert await read_once(Feed(f"file://{path}", 60.0)) == {"workflow": "0.2.0"}


async def test_from_a_url() -> None:
    async def versions(_request: web.Request) -> web.Response:
        return web.json_response({"router": "0.4.0"})

    app = web.Application()
    app.router.add_get("/versions.json", versions)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/versions.json"
        assert await read_once(Feed(url, 60.0)) == {"router": "0.4.0"}
    finally:
        await runner.cleanup()


async def test_without_a_feed_nothing_is_known() -> None:
    stop = asyncio.Event()
    stop.set()
    feed = Feed("", 60.0)
    await feed.run(stop)
    assert feed.latest == {}
