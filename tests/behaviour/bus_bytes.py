"""What every byte stream does; see bus.py for how a suite is inherited."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from deis_bus import subjects
from deis_bus.bytestream import (
    FRAME_BYTES,
    HEAD,
    MAX_FRAMES,
    MIN_COST,
    WINDOW_BYTES,
    StreamEnd,
    open_end,
)
from deis_bus.clock import new_id
from deis_bus.errors import StreamClosed
from deis_bus.ports import Bus, ByteStream, Frame
from tests.behaviour.bus import PATIENCE, one, take, until

QUICK = {"idle_seconds": 1.0, "alive_seconds": 0.05}


class Ends:
    """Both ends of one stream."""

    def __init__(self, opener: ByteStream, acceptor: ByteStream) -> None:
        self.opener = opener
        self.acceptor = acceptor


@contextlib.asynccontextmanager
async def opened(bus: Bus, other: Bus) -> AsyncIterator[Ends]:
    """A stream between two services."""
    stream_id = new_id()
    opener = await bus.open_stream(stream_id, "opener")
    acceptor = await other.open_stream(stream_id, "acceptor")
    try:
        yield Ends(opener, acceptor)
    finally:
        await opener.close()
        await acceptor.close()


async def everything(end: ByteStream) -> list[Frame]:
    """All frames to the end."""
    async with asyncio.timeout(PATIENCE):
        return [frame async for frame in end.frames()]


class ByteStreamSuite:
    """Two-way byte streams with flow control."""

    async def test_bytes_go_both_ways(self, bus: Bus, other: Bus) -> None:
        async with opened(bus, other) as ends:
            await ends.opener.send(b"question", channel=0)
            await ends.acceptor.send(b"answer")
            await ends.acceptor.send(b"complaint", channel=2)
            assert await one(ends.acceptor.frames()) == Frame("data", b"question", 0)
            assert await take(ends.opener.frames(), 2) == [
                Frame("data", b"answer", 1),
                Frame("data", b"complaint", 2),
            ]

    async def test_what_the_opener_says_first_waits_for_the_acceptor(
        self, bus: Bus, other: Bus
    ) -> None:
        stream_id = new_id()
        opener = await bus.open_stream(stream_id, "opener")
        early = asyncio.ensure_future(opener.send(b"early"))
        acceptor = await other.open_stream(stream_id, "acceptor")
        try:
            assert (await one(acceptor.frames())).data == b"early"
            await early
        finally:
            await opener.close()
            await acceptor.close()

    async def test_an_exit_ends_the_frames_behind_all_bytes(self, bus: Bus, other: Bus) -> None:
        async with opened(bus, other) as ends:
            await ends.acceptor.send(b"out")
            await ends.acceptor.exit(3)
            assert await everything(ends.opener) == [Frame("data", b"out"), Frame("exit", code=3)]
            with pytest.raises(StreamClosed):
                await ends.opener.send(b"too late")
            with pytest.raises(StreamClosed):
                await ends.acceptor.send(b"too late")

    async def test_the_end_of_input_leaves_the_other_way_open(self, bus: Bus, other: Bus) -> None:
        async with opened(bus, other) as ends:
            await ends.opener.send(b"in", channel=0)
            await ends.opener.end_input()
            frames = ends.acceptor.frames()
            assert [frame.kind for frame in await take(frames, 2)] == ["data", "end"]
            await ends.acceptor.send(b"still")
            assert (await one(ends.opener.frames())).data == b"still"

    async def test_resize_and_signal_arrive_in_order(self, bus: Bus, other: Bus) -> None:
        async with opened(bus, other) as ends:
            await ends.opener.resize(120, 40)
            await ends.opener.signal("INT")
            assert await take(ends.acceptor.frames(), 2) == [
                Frame("resize", columns=120, rows=40),
                Frame("signal", text="INT"),
            ]

    async def test_a_cancel_stops_the_sender(self, bus: Bus, other: Bus) -> None:
        async with opened(bus, other) as ends:
            await ends.opener.cancel("enough")
            assert await everything(ends.acceptor) == [Frame("cancel", text="enough")]
            with pytest.raises(StreamClosed, match="enough"):
                await ends.acceptor.send(b"more")
            assert await everything(ends.opener) == []

    async def test_a_cancel_frees_a_sender_that_waits(self, bus: Bus, other: Bus) -> None:
        async with opened(bus, other) as ends:
            sending = asyncio.ensure_future(ends.acceptor.send(bytes(2 * WINDOW_BYTES)))
            assert (await one(ends.opener.frames())).kind == "data"
            await ends.opener.cancel()
            with pytest.raises(StreamClosed):
                await asyncio.wait_for(sending, PATIENCE)

    async def test_closing_an_end_cancels_the_other(self, bus: Bus, other: Bus) -> None:
        async with opened(bus, other) as ends:
            await ends.opener.close()
            assert [frame.kind for frame in await everything(ends.acceptor)] == ["cancel"]

    async def test_a_big_transfer_is_whole_in_small_frames(self, bus: Bus, other: Bus) -> None:
        piece = bytes(range(256)) * 1024 * 3
        async with opened(bus, other) as ends:

            async def write() -> None:
                for _ in range(24):
                    await ends.acceptor.send(piece)
                await ends.acceptor.exit(0)

            writing = asyncio.ensure_future(write())
            frames = await everything(ends.opener)
            await writing
        assert frames[-1] == Frame("exit", code=0)
        assert max(len(frame.data) for frame in frames) <= FRAME_BYTES
        assert b"".join(frame.data for frame in frames) == piece * 24

    async def test_a_slow_reader_stops_the_writer(self, bus: Bus, other: Bus) -> None:
        async with opened(bus, other) as ends:
            sent = 0

            async def write() -> None:
                nonlocal sent
                while True:
                    await ends.acceptor.send(bytes(FRAME_BYTES))
                    sent += FRAME_BYTES

            writing = asyncio.ensure_future(write())
            await until(lambda: sent == WINDOW_BYTES)
            await until(bus.ready)
            await until(other.ready)
            assert sent == WINDOW_BYTES
            await take(ends.opener.frames(), 3)
            await until(lambda: sent >= WINDOW_BYTES + 2 * FRAME_BYTES)
            assert sent <= WINDOW_BYTES + 3 * FRAME_BYTES
            writing.cancel()

    async def test_many_tiny_pieces_wait_for_a_slow_reader_and_all_arrive(
        self, bus: Bus, other: Bus
    ) -> None:
        count = 2 * MAX_FRAMES + 1
        async with opened(bus, other) as ends:
            sent = 0

            async def write() -> None:
                nonlocal sent
                for number in range(count):
                    await ends.acceptor.send(b"%d " % number)
                    sent += 1
                await ends.acceptor.exit(0)

            writing = asyncio.ensure_future(write())
            await until(lambda: sent == WINDOW_BYTES // MIN_COST)
            await until(bus.ready)
            await until(other.ready)
            assert sent == WINDOW_BYTES // MIN_COST < MAX_FRAMES
            frames = await everything(ends.opener)
            await writing
        whole = b"".join(frame.data for frame in frames)
        assert [int(word) for word in whole.split()] == list(range(count))

    @pytest.mark.parametrize("data", [b"X", HEAD.pack(b"?", 1) + b"{}", HEAD.pack(b"E", 1)])
    async def test_what_is_no_frame_breaks_it(self, bus: Bus, other: Bus, data: bytes) -> None:
        stream_id = new_id()
        opener = await bus.open_stream(stream_id, "opener")
        await other.emit(subjects.stream(stream_id, "opener"), data)
        with pytest.raises(StreamClosed, match="not a frame"):
            await everything(opener)
        with pytest.raises(StreamClosed):
            await opener.send(b"x")
        await opener.close()

    async def test_both_may_send_much_at_once(self, bus: Bus, other: Bus) -> None:
        async with opened(bus, other) as ends:

            async def write(end: ByteStream) -> None:
                for _ in range(10):
                    await end.send(bytes(WINDOW_BYTES // 2))

            async def read(end: ByteStream) -> int:
                count = 0
                async with contextlib.aclosing(end.frames()) as frames:
                    while count < 5 * WINDOW_BYTES:
                        count += len((await one(frames)).data)
                return count

            one_way, other_way, _, _ = await asyncio.gather(
                read(ends.opener), read(ends.acceptor), write(ends.opener), write(ends.acceptor)
            )
        assert one_way == other_way == 5 * WINDOW_BYTES

    async def test_nothing_heard_for_the_idle_limit_closes_it(self, bus: Bus) -> None:
        end = await open_end(bus, new_id(), "opener", idle_seconds=0.05, alive_seconds=0.02)
        sending = asyncio.ensure_future(end.send(b"anybody?"))
        with pytest.raises(StreamClosed, match="nothing was heard"):
            await everything(end)
        with pytest.raises(StreamClosed):
            await sending
        await end.close()

    async def test_keep_alives_hold_a_quiet_stream(self, bus: Bus, other: Bus) -> None:
        stream_id = new_id()
        opener = await open_end(bus, stream_id, "opener", **QUICK)
        acceptor = await open_end(other, stream_id, "acceptor", **QUICK)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(opener.frames()), 1.5 * QUICK["idle_seconds"])
        await acceptor.send(b"there")
        assert (await one(opener.frames())).data == b"there"
        await opener.close()
        await acceptor.close()

    async def test_who_stood_still_does_not_take_it_for_silence(self, bus: Bus, other: Bus) -> None:
        stream_id = new_id()
        opener = await open_end(bus, stream_id, "opener", **QUICK)
        acceptor = await open_end(other, stream_id, "acceptor", **QUICK)
        frames = opener.frames()
        await acceptor.send(b"before")
        assert (await one(frames)).data == b"before"
        end = time.monotonic() + 1.1 * QUICK["idle_seconds"]
        while time.monotonic() < end:
            pass  # as a machine that slept, or a process that was stopped
        await asyncio.sleep(0.01)
        await acceptor.send(b"behind")
        assert (await one(frames)).data == b"behind"
        await opener.close()
        await acceptor.close()

    async def test_a_lost_frame_breaks_it_and_leaves_nothing_out(
        self, bus: Bus, other: Bus
    ) -> None:
        stream_id = new_id()
        opener = await open_end(bus, stream_id, "opener")
        acceptor = Forgetful(other, stream_id, "acceptor")
        await acceptor.open()
        await acceptor.send(b"one")
        acceptor.forget_next()
        await acceptor.send(b"two")
        await acceptor.send(b"three")
        frames = opener.frames()
        assert (await one(frames)).data == b"one"
        with pytest.raises(StreamClosed, match="lost"):
            await one(frames)
        await opener.close()
        await acceptor.close()

    async def test_who_does_not_keep_to_the_window_is_cut(self, bus: Bus, other: Bus) -> None:
        stream_id = new_id()
        opener = await open_end(bus, stream_id, "opener")
        acceptor = Greedy(other, stream_id, "acceptor")
        await acceptor.open()
        for _ in range(WINDOW_BYTES // FRAME_BYTES + 1):
            await acceptor.send(bytes(FRAME_BYTES))
        with pytest.raises(StreamClosed, match="window"):
            await _send_until_it_fails(opener)
        await opener.close()
        await acceptor.close()


async def _send_until_it_fails(end: ByteStream) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            await end.resize(1, 1)
            await asyncio.sleep(0)


class Forgetful(StreamEnd):
    """Loses a frame on the way, as a lost connection does."""

    _lose = False

    def forget_next(self) -> None:
        """Lose the next one."""
        self._lose = True

    async def _emit(self, kind: bytes, body: bytes) -> None:
        if self._lose:
            self._lose = False
            self._sent_frames += 1
            return
        await super()._emit(kind, body)


class Greedy(StreamEnd):
    """Sends without waiting for credit."""

    async def _room(self, size: int) -> None:
        return
