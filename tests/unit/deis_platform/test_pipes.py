"""A pipe's descriptor is closed once, and not again when it belongs to somebody else."""

import asyncio
import os
from collections.abc import Callable

import pytest
import uvloop

from deis_platform.pipes import read_pipe, write_pipe

LOOPS = pytest.mark.parametrize(
    "loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)


@LOOPS
@pytest.mark.parametrize("end", [0, 1], ids=["read", "write"])
def test_a_closed_pipe_closes_no_other_descriptor(
    loop: Callable[[], asyncio.AbstractEventLoop], end: int
) -> None:
    async def main() -> None:
        ends = os.pipe()
        transport, _ = await (read_pipe, write_pipe)[end](asyncio.Protocol, ends[end])
        transport.close()
        while _is_open(ends[end]):  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0)
        with open(os.devnull) as taken:  # noqa: ASYNC230 - takes the lowest free number
            assert taken.fileno() == ends[end]
            for _ in range(10):
                await asyncio.sleep(0)
            assert _is_open(ends[end])
        os.close(ends[1 - end])

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


@LOOPS
def test_bytes_go_through(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def main() -> bytes:
        theirs, ours = os.pipe()
        stream = asyncio.StreamReader()
        reading, _ = await read_pipe(lambda: asyncio.StreamReaderProtocol(stream), theirs)
        writing, _ = await write_pipe(asyncio.Protocol, ours)
        writing.write(b"through")
        writing.close()
        try:
            return await stream.read()
        finally:
            reading.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(main()) == b"through"


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
