"""Numbered lines are taken once, in whatever batches they come."""

from hypothesis import given
from hypothesis import strategies as st

from deis_bus.contracts.logs import APPUUID, FIRST, SOURCE
from deis_bus.memory.broker import MemoryBroker
from deis_bus.ports import Received
from deis_services.logger.collect import Collector
from deis_services.logger.seen import SOURCES, SPANS, Seen

LINES = [b"%d" % number for number in range(40)]


@given(st.lists(st.tuples(st.integers(0, 39), st.integers(1, 10)), max_size=SPANS))
def test_every_line_is_taken_exactly_once(batches: list[tuple[int, int]]) -> None:
    seen = Seen()
    taken: list[bytes] = []
    sent: set[bytes] = set()
    for first, count in batches:
        lines = LINES[first : first + count]
        sent.update(lines)
        taken += seen.fresh("s", first, lines)
    assert sorted(taken) == sorted(sent)


def test_what_was_lost_between_is_taken_when_it_comes() -> None:
    seen = Seen()
    assert seen.fresh("s", 0, LINES[:2]) == LINES[:2]
    assert seen.fresh("s", 4, LINES[4:6]) == LINES[4:6]
    assert seen.fresh("s", 1, LINES[1:6]) == LINES[2:4]
    assert seen.doubles == 3


def test_sources_do_not_mix_and_are_bounded() -> None:
    seen = Seen()
    for number in range(SOURCES + 1):
        assert seen.fresh(f"s{number}", 0, [b"x"]) == [b"x"]
    assert seen.fresh(f"s{SOURCES}", 0, [b"x"]) == []
    assert seen.fresh("s0", 0, [b"x"]) == [b"x"], "forgotten: rather twice than lost"


def test_spans_of_one_source_are_bounded() -> None:
    seen = Seen()
    for number in range(SPANS + 1):
        seen.fresh("s", 10 * number, [b"x"])
    assert seen.fresh("s", 10, [b"x"]) == []
    assert seen.fresh("s", 0, [b"x"]) == [b"x"]


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def take(self, appuuid: str, lines: list[bytes]) -> None:
        """Keep."""
        self.lines += lines


def test_the_collector_drops_what_is_sent_again_and_refuses_nonsense() -> None:
    kept = Kept()
    collector = Collector(MemoryBroker().bus("logger"), (kept,))
    batch = Received("deis.log.blog", {APPUUID: "u", SOURCE: "s", FIRST: "0"}, b"a\nb")
    again = Received("deis.log.blog", {APPUUID: "u", SOURCE: "s", FIRST: "1"}, b"b\nc")
    others = Received("deis.log.blog", {APPUUID: "other", SOURCE: "s", FIRST: "0"}, b"d")
    for received in (batch, again, others, batch):
        collector._take(received)
    assert kept.lines == [b"a", b"b", b"c", b"d"]
    assert collector.seen.has("u/s", 0, 3)
    assert not collector.seen.has("u/s", 0, 4)
    assert not collector.seen.has("other/s", 0, 2)
    for first in ("", "-1", "x", "1" * 16, "\N{SUPERSCRIPT TWO}"):
        collector._take(Received("deis.log.blog", {APPUUID: "u", SOURCE: "t", FIRST: first}, b"x"))
    assert (collector.refused, len(kept.lines)) == (5, 4)
