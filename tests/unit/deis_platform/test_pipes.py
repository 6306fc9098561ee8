"""A pipe's descriptor is closed once, and not again when it belongs to somebody else."""

import asyncio
import io
import os
import tty
from collections.abc import Callable

import pytest
import uvloop

from deis_platform.pipes import HIGH_WATER, TerminalInput, pipe_file, read_pipe, write_pipe

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


@LOOPS
def test_who_writes_to_a_terminal_does_not_read_from_it(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def main() -> bytes:
        ours, theirs = os.openpty()
        protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader())
        writing = TerminalInput(os.dup(ours), protocol)
        os.write(theirs, b"out")
        writing.write(b"in\n")
        for _ in range(10):
            await asyncio.sleep(0)
        writing.close()
        assert os.read(theirs, 10) == b"in\n"
        said = os.read(ours, 10)
        os.close(ours)
        os.close(theirs)
        return said

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(main()).startswith(b"out")


@LOOPS
def test_what_a_terminal_does_not_take_yet_waits(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def main() -> None:
        ours, theirs = os.openpty()
        tty.setraw(theirs)
        protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader())
        writing = TerminalInput(os.dup(ours), protocol)
        writer = asyncio.StreamWriter(writing, protocol, None, asyncio.get_running_loop())
        writer.write(b"x" * (2 * HIGH_WATER))
        drained = asyncio.create_task(writer.drain())
        writer.close()
        read = 0
        while read < 2 * HIGH_WATER:
            read += len(await asyncio.to_thread(os.read, theirs, 4096))
        await drained
        await writer.wait_closed()
        assert writing.get_write_buffer_size() == 0
        os.close(ours)
        os.close(theirs)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(asyncio.wait_for(main(), 20))
