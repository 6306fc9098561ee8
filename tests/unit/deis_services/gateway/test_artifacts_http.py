"""`artifacts`: objects over HTTP for who holds a token of that method and prefix (DESIGN 6)."""

import asyncio
import time
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from deis_bus.memory import MemoryBus
from deis_platform.artifacts import sign
from deis_platform.objects import NoObject
from deis_services.slugbuilder import transfer
from deis_services.slugbuilder.errors import BuildError
from tests.behaviour.bus import until
from tests.behaviour.gateway_rig import Running, gateway
from tests.behaviour.objects import chunks, content

KEY = "slugs/4f/1-1.tgz"
BIG = bytes(range(256)) * 4000


def token(running: Running, method: str = "GET", prefix: str = "slugs/4f/", **more: float) -> str:
    return sign(running.keyring.derive("artifacts"), method, prefix, **more)


def ask(running: Running, method: str, key: str, given: str, **more: Any) -> Any:
    headers = {"Authorization": f"Bearer {given}"} | more.pop("headers", {})
    return running.http.request(method, running.object(key), headers=headers, **more)


def files(tmp_path: Path) -> list[str]:
    folder = tmp_path / "objects"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def test_what_was_put_is_read(running: Running) -> None:
    async with ask(running, "PUT", KEY, token(running, "PUT"), data=BytesIO(BIG)) as answer:
        assert answer.status == 201
        tag = answer.headers["ETag"]
    async with ask(running, "GET", KEY, token(running)) as answer:
        assert (answer.status, await answer.read()) == (200, BIG)
        assert answer.headers["Content-Length"] == str(len(BIG))
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["ETag"] == tag
    async with ask(running, "HEAD", KEY, token(running)) as answer:
        assert (answer.status, await answer.read()) == (200, b"")
        assert answer.headers["Content-Length"] == str(len(BIG))
        assert answer.headers["ETag"] == tag


async def test_an_upload_without_a_length(running: Running) -> None:
    data = chunks(b"a" * 100_000, b"b" * 100_000)
    async with ask(running, "PUT", KEY, token(running, "PUT"), data=data) as answer:
        assert answer.status == 201
    async with ask(running, "GET", KEY, token(running)) as answer:
        assert await answer.read() == b"a" * 100_000 + b"b" * 100_000


async def test_an_absent_object(running: Running) -> None:
    for method in ("GET", "HEAD"):
        async with ask(running, method, KEY, token(running)) as answer:
            assert answer.status == 404


async def test_no_token_opens_nothing(running: Running) -> None:
    good = token(running)
    for header in ("", "x", f"token {good}", f"Basic {good}", good, "Bearer", "Bearer \xe4"):
        async with ask(running, "GET", KEY, "", headers={"Authorization": header}) as answer:
            assert answer.status in (401, 403), header
            if answer.status == 401:
                assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_token_opens_its_method_and_prefix_only(running: Running, tmp_path: Path) -> None:
    objects = running.parts.objects
    for key in (KEY, "slugs/5a/1-1.tgz", "secret"):
        await objects.put(key, chunks(b"x"))
    get, put = token(running), token(running, "PUT")
    for method, key, given in (
        ("PUT", KEY, get),
        ("GET", KEY, put),
        ("HEAD", KEY, put),
        ("GET", "slugs/5a/1-1.tgz", get),
        ("GET", "secret", get),
        ("PUT", "slugs/4g/x", put),
        ("GET", KEY, get[:-4] + "AAAA"),
        ("GET", KEY, token(running, expires=time.time() - 1)),
        ("GET", KEY, sign(b"x" * 32, "GET", "slugs/")),
    ):
        async with ask(
            running, method, key, given, data=b"y" if method == "PUT" else None
        ) as answer:
            assert answer.status == 403, (method, key)
    async with ask(running, "DELETE", KEY, get) as answer:
        assert answer.status == 405
    assert await content(objects, KEY) == b"x"
    assert files(tmp_path) == ["secret", "slugs/4f/1-1.tgz", "slugs/5a/1-1.tgz"]


@pytest.mark.parametrize(
    "path",
    [
        "slugs/4f/../5a/1-1.tgz", "slugs/4f/%2e%2e/5a/1-1.tgz", "slugs/4f/..%2f5a%2f1-1.tgz",
        "slugs/4f/%2e%2e%2f%2e%2e%2fsecret", "slugs/4f//x", "slugs/4f/", "slugs/4f/.writing",
        "slugs/4f/%00", "slugs/4f/a%0a", "slugs/4f/%ff", "slugs/4f/%252e%252e/5a",
        "slugs/4f/" + "a" * 600,
    ],
)  # fmt: skip
async def test_no_path_leads_out(running: Running, path: str) -> None:
    """As the bytes say it: a client of ours would tidy the path before it sends it."""
    await running.parts.objects.put("slugs/5a/1-1.tgz", chunks(b"x"))
    address = running.parts.artifacts.address
    for method in ("GET", "PUT"):
        given = token(running, method)
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(
            f"{method} /artifacts/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Authorization: Bearer {given}\r\nContent-Length: 0\r\n\r\n".encode()
        )
        status = int((await reader.read()).split()[1])
        writer.close()
        assert status in (400, 403, 404), (method, path)
    assert [info.key for info in await running.parts.objects.list()] == ["slugs/5a/1-1.tgz"]


async def test_an_object_over_the_limit(bus: MemoryBus, tmp_path: Path) -> None:
    async with gateway(bus, tmp_path, DEIS_SLUG_LIMIT="1MB") as running:
        put = token(running, "PUT")
        whole = b"x" * 1024 * 1024
        async with ask(running, "PUT", KEY, put, data=BytesIO(whole)) as answer:
            assert answer.status == 201
        for data in (BytesIO(whole + b"x"), chunks(whole, b"x")):
            async with ask(running, "PUT", KEY, put, data=data) as answer:
                assert answer.status == 413
        assert await content(running.parts.objects, KEY) == whole
        assert files(tmp_path) == [KEY]


async def test_an_upload_that_is_cut_off_leaves_nothing(running: Running, tmp_path: Path) -> None:
    address = running.parts.artifacts.address
    put = token(running, "PUT")
    for head in ("Content-Length: 1000000", "Transfer-Encoding: chunked"):
        _, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(
            f"PUT /artifacts/{KEY} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {put}\r\n"
            f"{head}\r\n\r\n".encode()
            + b"10\r\n0123456789abcdef\r\n"
        )
        await writer.drain()
        await until(lambda: len(files(tmp_path)) == 1)
        writer.transport.abort()
        await until(lambda: files(tmp_path) == [])
    with pytest.raises(NoObject):
        await running.parts.objects.head(KEY)


async def test_a_download_of_what_is_replaced_meanwhile_is_whole(running: Running) -> None:
    big = b"o" * 20_000_000
    await running.parts.objects.put(KEY, chunks(big))
    async with ask(running, "GET", KEY, token(running)) as answer:
        first = await answer.content.readany()
        await running.parts.objects.put(KEY, chunks(b"new"))
        rest = await answer.read()
    assert first + rest == big


async def test_other_paths_are_not_there(running: Running) -> None:
    for path in ("/", "/healthz", "/v2/", "/artifacts"):
        async with running.http.get(f"http://{running.parts.artifacts.address}{path}") as answer:
            assert answer.status == 404


async def test_what_builds_use(running: Running, tmp_path: Path) -> None:
    """The slugbuilder's own client."""
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(BIG)
    url = running.object(KEY)
    await asyncio.to_thread(transfer.store, url, token(running, "PUT"), there)
    assert await asyncio.to_thread(transfer.fetch, url, token(running), back)
    assert back.read_bytes() == BIG
    absent = running.object("slugs/4f/none")
    assert not await asyncio.to_thread(transfer.fetch, absent, token(running), back)


async def test_one_connection_carries_many(running: Running) -> None:
    async def again(number: int) -> AsyncIterator[bytes]:
        yield b"%d" % number

    for number in range(5):
        async with ask(running, "PUT", KEY, token(running, "PUT"), data=again(number)) as answer:
            assert answer.status == 201
        async with ask(running, "GET", KEY, token(running)) as answer:
            assert await answer.read() == b"%d" % number
    connector = running.http.connector
    assert connector is not None
    assert len(connector._conns) == 1


async def test_a_build_is_told_that_its_slug_is_too_large(bus: MemoryBus, tmp_path: Path) -> None:
    slug = tmp_path / "slug"
    slug.write_bytes(bytes(30_000_000))
    async with gateway(bus, tmp_path, DEIS_SLUG_LIMIT="1MB") as running:
        put = token(running, "PUT")
        with pytest.raises(BuildError, match="413"):
            await asyncio.to_thread(transfer.store, running.object(KEY), put, slug)
