"""Log lines on their way: the format, batches of 100 or 50 ms, and what is lost is counted."""

import asyncio
import contextlib
import datetime
import re
from collections.abc import AsyncIterator, Mapping

import pytest

from deis_bus import subjects
from deis_bus.contracts.logs import APPUUID, MAX_DELAY_SECONDS, MAX_LINE_BYTES, MAX_LINES
from deis_bus.errors import Unavailable
from deis_bus.memory import MemoryBroker, MemoryBus
from deis_platform import loglines
from deis_platform.loglines import MAX_BUFFERED, LogShipper, app_line, platform_text, stamp
from tests.unit.deis_platform.hand_loop import jumping, now

Batch = tuple[str, str, list[bytes]]


@contextlib.asynccontextmanager
async def heard(bus: MemoryBus) -> AsyncIterator[list[tuple[float, Batch]]]:
    """What travels on the bus, and when: subject, identity, lines."""
    batches: list[tuple[float, Batch]] = []
    async with bus.subscribe("deis.log.*") as subscription:

        async def listen() -> None:
            async for got in subscription:
                batch = (got.subject, got.headers[APPUUID], got.data.split(b"\n"))
                batches.append((now(), batch))

        task = asyncio.create_task(listen())
        yield batches
        await asyncio.sleep(1)
        task.cancel()


@contextlib.asynccontextmanager
async def shipping(shipper: LogShipper) -> AsyncIterator[None]:
    """The shipper at work, stopped at the end."""
    stop = asyncio.Event()
    task = asyncio.create_task(shipper.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


def made() -> tuple[LogShipper, MemoryBus]:
    """A shipper, and a bus to hear it on."""
    broker = MemoryBroker()
    return LogShipper(broker.bus("runtime")), broker.bus("logger")


def test_lines_look_as_the_original_wrote_them() -> None:
    at = datetime.datetime(2027, 2, 1, 9, 12, 44, 999_999, tzinfo=datetime.UTC)
    assert stamp(at) == "2027-02-01T09:12:44+00:00"
    name = "blog-web-5d9c6b7f44-k2x9p"
    assert app_line("blog", "web", 4, name, "hello", stamp(at)) == (
        "2027-02-01T09:12:44+00:00 blog[web.v4.k2x9p]: hello"
    )
    assert app_line("blog", "run", 4, "blog-run-abcde", "hi", "T") == "T blog[run.v4]: hi"
    assert re.fullmatch(
        r"\S{25} deis\[controller\]: INFO ada scaled web=3",
        platform_text("controller", "INFO", "ada scaled web=3"),
    )


@jumping
async def test_a_few_lines_go_together_after_50_ms() -> None:
    shipper, bus = made()
    async with heard(bus) as batches, shipping(shipper):
        await asyncio.sleep(1)
        shipper.line("blog", "u1", "one")
        await asyncio.sleep(0.02)
        shipper.line("blog", "u1", b"two")
        shipper.line("shop", "u2", "three")
        await asyncio.sleep(1)
        shipper.line("blog", "u1", "four")
        await asyncio.sleep(1)
    assert [batch for _, batch in batches] == [
        (subjects.log("blog"), "u1", [b"one", b"two"]),
        (subjects.log("shop"), "u2", [b"three"]),
        (subjects.log("blog"), "u1", [b"four"]),
    ]
    assert [at for at, _ in batches] == pytest.approx([1 + MAX_DELAY_SECONDS] * 2 + [2.07])


@jumping
async def test_a_hundred_lines_go_at_once_and_never_more_in_one_message() -> None:
    shipper, bus = made()
    async with heard(bus) as batches, shipping(shipper):
        for number in range(2 * MAX_LINES + 50):
            shipper.line("blog", "u1", str(number))
        await asyncio.sleep(0.001)
        assert [len(lines) for _, (_, _, lines) in batches] == [MAX_LINES, MAX_LINES, 50]
        assert {at for at, _ in batches} == {0}
    sent = [int(line) for _, (_, _, lines) in batches for line in lines]
    assert sent == list(range(250))


@jumping
async def test_one_name_under_two_owners_is_two_batches() -> None:
    shipper, bus = made()
    async with heard(bus) as batches, shipping(shipper):
        shipper.line("blog", "old", "one")
        shipper.line("blog", "new", "two")
    assert [batch[1:] for _, batch in batches] == [("old", [b"one"]), ("new", [b"two"])]


@jumping
async def test_long_lines_are_cut_and_newlines_cannot_make_two_of_one() -> None:
    shipper, bus = made()
    async with heard(bus) as batches, shipping(shipper):
        shipper.line("blog", "u1", "x" * (MAX_LINE_BYTES + 1))
        shipper.line("blog", "u1", b"a\nb\n")
        shipper.line("blog", "u1", "\ud800")
        await shipper.platform_line("blog", "u1", "builder", "INFO", "done")
    [(_, (_, _, lines))] = batches
    assert (len(lines[0]), lines[1], lines[2]) == (MAX_LINE_BYTES, b"a b ", b"?")
    assert lines[3].endswith(b"deis[builder]: INFO done")


@jumping
async def test_a_stop_sends_what_waits() -> None:
    shipper, bus = made()
    async with heard(bus) as batches, shipping(shipper):
        shipper.line("blog", "u1", "last words")
    assert batches[0][1][2] == [b"last words"]
    assert batches[0][0] < MAX_DELAY_SECONDS


@jumping
async def test_more_lines_than_the_buffer_holds_are_counted() -> None:
    shipper, bus = made()
    for _ in range(MAX_BUFFERED + 3):
        shipper.line("blog", "u1", "x")
    assert shipper.dropped == 3
    async with heard(bus) as batches, shipping(shipper):
        await asyncio.sleep(1)
        shipper.line("blog", "u1", "room again")
    assert sum(len(lines) for _, (_, _, lines) in batches) == MAX_BUFFERED + 1
    assert shipper.dropped == 3


@jumping
async def test_long_lines_fill_the_buffer_sooner() -> None:
    shipper, _ = made()
    fitting = loglines.MAX_BUFFERED_BYTES // MAX_LINE_BYTES
    for _ in range(fitting + 5):
        shipper.line("blog", "u1", b"x" * MAX_LINE_BYTES)
    assert shipper.dropped == 5
    await shipper.flush()
    shipper.line("blog", "u1", "room again")
    assert shipper.dropped == 5


@jumping
async def test_what_is_shipped_while_the_bus_is_away_is_lost_and_counted() -> None:
    broker = MemoryBroker()
    shipper = LogShipper(broker.bus("runtime"))
    async with heard(broker.bus("logger")) as batches, shipping(shipper):
        broker.stop()
        shipper.line("blog", "u1", "one")
        shipper.line("shop", "u2", "two")
        await asyncio.sleep(1)
        assert shipper.dropped == 2
        broker.start()
        shipper.line("blog", "u1", "three")
        await asyncio.sleep(1)
    assert [batch[2] for _, batch in batches] == [[b"three"]]
    assert shipper.dropped == 2


class Breaks(MemoryBus):
    """A bus that goes away after its first message."""

    sent = 0

    async def emit(
        self, subject: str, data: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        if self.sent:
            raise Unavailable("gone")
        self.sent += 1
        await super().emit(subject, data, headers)


@jumping
async def test_what_had_gone_out_before_is_not_counted_as_lost() -> None:
    shipper = LogShipper(Breaks(MemoryBroker(), "runtime"))
    for _ in range(MAX_LINES + 30):
        shipper.line("blog", "u1", "x")
    shipper.line("shop", "u2", "x")
    with pytest.raises(Unavailable):
        await shipper.flush()
    assert shipper.dropped == 31
