"""The bare baseline of an API read: aiohttp and asyncpg, and nothing else.

    python -m integration.bench.bare_api DATABASE_URL PASSWORD_FILE

One query, the very one by which the controller finds caller, right and application; the token is
looked up by its hash, as there. Prints its port.
"""

import asyncio
import hashlib
import hmac
import sys
from pathlib import Path

import asyncpg
import msgspec
import uvloop
from aiohttp import web

from deis_services.controller.callers import _BY_TOKEN

POOL = 10


class App(msgspec.Struct, frozen=True):
    """What the API says of an application (api.md 6.2)."""

    uuid: str
    id: str
    owner: str
    structure: msgspec.Raw
    procfile_structure: msgspec.Raw
    created: str
    updated: str


async def serve(url: str, password: str) -> None:
    """Until killed."""
    pool = await asyncpg.create_pool(
        url, password=password, min_size=POOL, max_size=POOL, ssl=False,
        reset=_no_reset,
    )  # fmt: skip
    turn = asyncio.Semaphore(POOL)

    async def handle(request: web.Request) -> web.Response:
        given = request.headers["Authorization"].removeprefix("token ")
        # As much work as the real look-up; the hash itself is handed in, its key is not ours.
        hmac.new(b"key", given.encode(), hashlib.sha256).hexdigest()
        async with turn, pool.acquire() as connection:
            row = await connection.fetchrow(
                _BY_TOKEN, request.headers["X-Hash"], request.match_info["app"]
            )
        if row is None:
            raise web.HTTPNotFound
        app = App(
            uuid=str(row["uuid"]),
            id=row["id"],
            owner=row["owner"],
            structure=msgspec.Raw(row["structure"].encode()),
            procfile_structure=msgspec.Raw(row["procfile_structure"].encode()),
            created=f"{row['created']:%Y-%m-%dT%H:%M:%SZ}",
            updated=f"{row['updated']:%Y-%m-%dT%H:%M:%SZ}",
        )
        return web.Response(body=msgspec.json.encode(app), content_type="application/json")

    server = web.Application()
    server.router.add_get("/v2/apps/{app}", handle)
    runner = web.AppRunner(server, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


async def _no_reset(_connection: object) -> None:
    return None


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], Path(sys.argv[2]).read_text().strip()))
