"""A pipe's descriptor is closed once, and not again when it belongs to somebody else."""

import asyncio
import io
import os
from collections.abc import Callable

import pytest
import uvloop

from deis_platform.pipes import pipe_file, read_pipe, write_pipe

LOOPS = pytest.mark.parametrize(
    "loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)


@pytest.mark.parametrize(
    ("loop", "file_closes"),
    [(asyncio.new_event_loop, True), (uvloop.new_event_loop, False)],
    ids=["asyncio", "uvloop"],
)
def test_only_one_of_loop_and_file_owns_the_descriptor(
    loop: Callable[[], asyncio.AbstractEventLoop], file_closes: bool
) -> None:
    async def main() -> None:
        ends = os.pipe()
        for descriptor in ends:
            with pipe_file(descriptor, "rb") as file:
                assert isinstance(file, io.FileIO)
                assert file.closefd == file_closes
            if not file_closes:
                os.close(descriptor)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


@LOOPS
@pytest.mark.parametrize("end", [0, 1], ids=["read", "write"])
def test_a_closed_pipe_is_closed(loop: Callable[[], asyncio.AbstractEventLoop], end: int) -> None:
    async def main() -> None:
        ends = os.pipe()
        transport, _ = await (read_pipe, write_pipe)[end](asyncio.Protocol, ends[end])
        transport.close()
        while _is_open(ends[end]):  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0)
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
