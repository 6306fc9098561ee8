"""What the store in a bucket decides without a server."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from hypothesis import given, settings
from hypothesis import strategies as st

from deis_bus.errors import Transient
from deis_platform.groups import ObjectsSettings
from deis_platform.objects import (
    NoObject,
    StoreFull,
    TooLarge,
    check_settings,
    open_objects,
    where,
)
from deis_platform.objects.s3_client import Refusal, mapped
from deis_platform.objects.s3_parts import PART_BYTES, body_of, parts_of, size_of, to_its_end
from deis_platform.objects.where import Place, parsed
from deis_platform.settings import SettingsError, load
from tests.behaviour.objects import chunks, content

BUCKET = "s3://deis"
BODY = b"abc"


def refused(code: str, status: int = 400) -> ClientError:
    """A server's answer, with a text that must not be repeated."""
    answer: Any = {
        "Error": {"Code": code, "Message": "hunter2"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, "PutObject")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("s3://deis", Place("deis", "")),
        ("s3://deis/", Place("deis", "")),
        ("s3://deis.example.com/a/b-c/", Place("deis.example.com", "a/b-c")),
        ("file:///var/lib/my%20objects", Path("/var/lib/my objects")),
        ("file://localhost/x", Path("/x")),
    ],
)
def test_where_objects_are(url: str, place: Path | Place) -> None:
    assert parsed(url) == place


def test_files_that_do_not_go_together_or_cannot_be_read(tmp_path: Path) -> None:
    file, absent = tmp_path / "key", tmp_path / "absent"
    file.write_text("x")
    good = ObjectsSettings(url=BUCKET, s3_key_file=str(file), s3_secret_file=str(file))
    assert check_settings(good) == Place("deis", "")
    for key, secret, says in (
        (file, "", "belong together"),
        ("", file, "belong together"),
        (absent, file, "DEIS_S3_KEY_FILE: .*absent cannot be read"),
        (file, absent, "DEIS_S3_SECRET_FILE: .*absent cannot be read"),
    ):
        with pytest.raises(ValueError, match=says):
            check_settings(
                ObjectsSettings(url=BUCKET, s3_key_file=str(key), s3_secret_file=str(secret))
            )


def test_a_bucket_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(where, "LIBRARY", "no_such_library")
    with pytest.raises(ValueError, match=r"pip install 'deis-workflow\[s3\]'"):
        check_settings(ObjectsSettings(url=BUCKET))
    assert check_settings(ObjectsSettings(url="file:///x")) == Path("/x")


@pytest.mark.parametrize("url", ["s3.example.com", "ftp://x", "http://", "http://me:hunter2@x"])
def test_endpoints_that_are_none(url: str) -> None:
    with pytest.raises(SettingsError, match="DEIS_S3_ENDPOINT: expected http") as caught:
        load(ObjectsSettings, {"DEIS_OBJECTS_URL": BUCKET, "DEIS_S3_ENDPOINT": url})
    assert "hunter2" not in str(caught.value)


def test_only_who_has_a_bucket_loads_the_library() -> None:
    program = """
import asyncio, sys
from deis_platform.groups import ObjectsSettings
from deis_platform.objects import open_objects
from deis_services.builder import service
from deis_services.controller import service
from deis_services.gateway import service

async def main(url):
    async with open_objects(ObjectsSettings(url=url)):
        pass
    print(sorted({"aiobotocore", "botocore"} & sys.modules.keys()))

asyncio.run(main("file:///nowhere/at/all"))
asyncio.run(main("s3://deis"))
"""
    ran = subprocess.run(
        [sys.executable, "-P", "-c", program],
        env=os.environ | {"AWS_EC2_METADATA_DISABLED": "true"},  # nobody is asked for keys
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout.splitlines()[0] == "[]", ran.stderr
    assert ran.stdout.splitlines()[-1] == "['aiobotocore', 'botocore']", ran.stderr


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (refused("NoSuchKey", 404), NoObject, "k"),
        (refused("404", 404), NoObject, "k"),
        (refused("NoSuchBucket", 404), Refusal, "there is no such bucket .NoSuchBucket."),
        (refused("QuotaExceeded", 403), StoreFull, "full"),
        (refused("SlowDown", 503), Refusal, "refuses: SlowDown$"),
        (refused("the key hunter2 is\nwrong", 403), Refusal, "refuses: status 403$"),
        (refused("", 502), Refusal, "refuses: status 502$"),
        (NoCredentialsError(), Transient, "wants keys: set DEIS_S3_KEY_FILE"),
        (EndpointConnectionError(endpoint_url="http://hunter2"), Transient, "away: Endpoint"),
        (ConnectionResetError("hunter2"), Transient, "away: ConnectionResetError$"),
        (TimeoutError("hunter2"), Transient, "away: TimeoutError$"),
    ],
)
def test_faults_are_those_of_the_port(fault: Exception, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says) as caught, mapped(absent="k"):
        raise fault
    assert type(caught.value) is kind
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__


class Rude:
    """A server that asks for no body and hangs up on the first one, on a connection in use; and
    that refuses the first reader with an answer which breaks off."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.answers = [
            b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 90\r\n\r\n<?xml",
            b'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: 3\r\n\r\n' + BODY,
        ]

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"PUT"):
                    self.bodies.append(await reader.readexactly(len(BODY)))
                    if len(self.bodies) == 1:
                        break
                if head.startswith(b"GET"):
                    writer.write(self.answers.pop(0))
                    break
                writer.write(b'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: 0\r\n\r\n')
        writer.close()


async def test_bodies_come_whole_though_nobody_asks_for_them_and_the_first_is_lost(
    tmp_path: Path,
) -> None:
    keys, rude = tmp_path / "keys", Rude()
    keys.write_text("x")
    async with await asyncio.start_server(rude, "127.0.0.1", 0) as server:
        settings = ObjectsSettings(
            url=BUCKET,
            s3_endpoint=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
            s3_key_file=str(keys),
            s3_secret_file=str(keys),
        )
        async with open_objects(settings, prepare=False) as store, asyncio.timeout(20):
            await store.head("k")
            await store.put("k", chunks(BODY))
            assert await content(store, "k") == BODY
    assert rude.bodies == [BODY, BODY]
    assert rude.answers == []


def test_nothing_is_absent_where_nothing_is_named() -> None:
    with pytest.raises(Refusal), mapped():
        raise refused("NoSuchKey", 404)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 2 * PART_BYTES + 3), max_size=4))
async def test_parts_are_alike_but_for_the_last(sizes: list[int]) -> None:
    source = [bytes([at]) * size for at, size in enumerate(sizes)]
    parts = [part.getvalue() async for part in parts_of(chunks(*source), 0)]
    assert b"".join(parts) == b"".join(source)
    assert {len(part) for part in parts[:-1]} <= {PART_BYTES}
    assert len(parts[-1]) < PART_BYTES


async def test_parts_share_one_buffer() -> None:
    seen, sizes = set[int](), []
    async for part in parts_of(chunks(b"x" * 3 * PART_BYTES, b"y"), 0):
        seen.add(id(part))
        sizes.append(size_of(part))
    assert sizes == [PART_BYTES] * 3 + [1]
    assert len(seen) == 1


async def test_what_is_too_large_is_told_at_the_chunk_that_is() -> None:
    taken = 0

    async def source() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"x" * 1000

    with pytest.raises(TooLarge):
        async for _ in parts_of(source(), 4_000):
            pass
    assert taken == 5


async def test_a_body_has_its_sum_and_is_read_from_its_begin() -> None:
    [part] = [part async for part in parts_of(chunks(b"abc"), 0)]
    fields = await body_of(part)
    assert fields["ContentMD5"] == "kAFQmDzST7DWlj99KOF/cg=="
    assert fields["Body"].read() == b"abc"


async def test_work_that_comes_to_its_end_though_the_caller_is_cancelled() -> None:
    go, done = asyncio.Event(), []

    async def work() -> None:
        await go.wait()
        done.append(True)

    task = asyncio.create_task(to_its_end(work()))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [True]
