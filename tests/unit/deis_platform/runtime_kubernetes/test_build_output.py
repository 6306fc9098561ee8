"""A build's output: the lines of its log, each once, whatever its kubelet does meanwhile."""

import asyncio
import contextlib
from typing import Any

import pytest
from aiohttp import web

from deis_bus.memory import MemoryBroker, MemoryBus
from deis_bus.ports import ByteStream
from deis_platform.runtime.kubernetes import build_output
from deis_platform.runtime.kubernetes.build_mirror import BuildPods
from deis_platform.runtime.kubernetes.build_output import BuildOutput
from deis_platform.runtime.kubernetes.stamped import Stamped
from tests.unit.deis_platform.kubernetes.fake import (
    Fake,
    Step,
    bookmark,
    cut,
    door,
    event,
    fake_server,
    lines,
    listing,
    refusal,
)

NAMESPACE, POD = "deis-builds", "slugbuild-blog-c0ffee-1"
TIME = b"2026-11-27T00:00:00.123456789Z "
ABROAD = b"2026-11-27T02:00:00.123456789+02:00 "
FAULT = b"rpc error: code = Unknown desc = server is not initialized yet"
ENDED = {"exitCode": 3, "finishedAt": "2026-11-27T00:00:01Z"}
LOG = TIME + b"first\n" + ABROAD + b"\n" + TIME + TIME + b"third"


@pytest.mark.parametrize("size", [1, 2, 7, 30, 31, 32, 1000])
@pytest.mark.parametrize(
    ("log", "output", "foreign"),
    [
        (LOG, b"first\n\n" + TIME + b"third", False),
        (TIME + b"first\n" + FAULT, b"first\n", True),
        (FAULT, b"", True),
        (b"", b"", False),
    ],
)
def test_lines_are_known_by_their_times(
    size: int, log: bytes, output: bytes, foreign: bool
) -> None:
    reading = Stamped()
    found = [reading.feed(log[place : place + size]) for place in range(0, len(log), size)]
    assert b"".join(found) == output
    assert (reading.foreign, reading.whole) == (foreign, not foreign)


def test_a_short_word_that_is_no_line_is_noticed_at_the_end() -> None:
    reading = Stamped()
    assert reading.feed(TIME + b"first\n" + b"EOF") == b"first\n"
    assert not reading.whole


def pod(version: int, **state: Any) -> dict[str, Any]:
    container = {"name": "slugbuilder", "state": state}
    phase = "Succeeded" if "terminated" in state else "Running"
    return {
        "metadata": {"name": POD, "namespace": NAMESPACE, "resourceVersion": str(version)},
        "status": {"phase": phase, "containerStatuses": [container]},
    }


def read(log: bytes, then: Step | None = None) -> Step:
    """A reading of the log that ends as if it were whole, or with what `then` does."""
    return lines(rest=log, then=then)


async def heard(stream: ByteStream) -> tuple[bytes, int | str]:
    """What came, and the exit code or why there is none."""
    data = b""
    async with contextlib.aclosing(stream.frames()) as frames:
        async for frame in frames:
            if frame.kind == "data":
                data += frame.data
            elif frame.kind in ("exit", "cancel"):
                return data, frame.code if frame.kind == "exit" else frame.text
    raise AssertionError("the stream ended without a word")


async def played(fake: Fake, skip: int = 0) -> tuple[bytes, int | str]:
    """What a listener hears of the build."""
    bus = MemoryBus(MemoryBroker(), "builder")
    async with door(fake) as api:
        pods = BuildPods(api, NAMESPACE)
        mirror = asyncio.create_task(pods.mirror.run(asyncio.Event()))
        listener, own = await asyncio.gather(
            bus.open_stream("1", "opener"), bus.open_stream("1", "acceptor")
        )
        try:
            await asyncio.wait_for(pods.mirror.synced.wait(), 20)
            playing = asyncio.create_task(BuildOutput(api, pods).play(POD, own, skip))
            found = await heard(listener)
            await playing
            return found
        finally:
            for stream in (listener, own):
                await stream.close()
            mirror.cancel()
            await asyncio.wait({mirror})


@pytest.mark.parametrize("skip", [0, 3])
async def test_each_line_once_whatever_breaks(monkeypatch: pytest.MonkeyPatch, skip: int) -> None:
    monkeypatch.setattr(build_output, "PAUSE_SECONDS", 0.01)
    ended = asyncio.Event()

    async def until_ended(_: web.Request) -> web.StreamResponse:
        await ended.wait()
        return web.Response()

    async def end(_: web.Request) -> web.StreamResponse:
        ended.set()
        return web.Response()

    begun, whole = TIME + b"first\n", TIME + b"first\n" + TIME + b"second\n"
    async with fake_server() as fake:
        over = event("MODIFIED", pod(2, terminated=ENDED))
        fake.will(listing(pod(1, running={})), path="/pods")
        fake.will(lines(bookmark(1), then=until_ended), lines(over, then=fake.hang), path="/pods")
        fake.will(
            refusal(404),  # its kubelet has just started
            read(begun, cut),  # the API server ends
            refusal(500),
            read(begun),  # the kubelet ends
            read(begun + FAULT),  # the container runtime has just started
            read(whole, end),
            *[read(whole)] * 100,  # until its end is told
            path="/log",
        )
        assert await played(fake, skip) == (b"first\nsecond\n"[skip:], 3)


async def test_the_log_of_what_has_ended_is_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(build_output, "PAUSE_SECONDS", 0.01)
    async with fake_server() as fake:
        fake.will(listing(pod(1, terminated=ENDED)), path="/pods")
        fake.will(refusal(404), read(TIME + b"first\n" + FAULT), path="/log")
        fake.will(read(TIME + b"first\n" + TIME + b"second\n"), path="/log")
        assert await played(fake) == (b"first\nsecond\n", 3)


async def test_a_build_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_output, "PAUSE_SECONDS", 0.01)
    async with fake_server() as fake:
        gone = event("DELETED", pod(2, running={}))
        fake.will(listing(pod(1, running={})), lines(gone, then=fake.hang), path="/pods")
        fake.will(*[refusal(404)] * 100, path="/log")
        assert await played(fake) == (b"", build_output.STOPPED)
