"""A follower that does not keep up loses lines and is told how many."""

from deis_services.logger.follow import WAITING_BYTES, WAITING_LINES, Reader
from deis_services.logger.parts import ANSWER_BYTES, fitting
from deis_services.logger.ring import EVERYTHING


async def test_lines_come_as_text() -> None:
    reader = Reader("a", EVERYTHING)
    assert reader.give([b"one", b"two"]) == 0
    assert await reader.chunk() == b"one\ntwo\n"


async def test_a_slow_one_is_told_how_many_it_lost() -> None:
    reader = Reader("a", EVERYTHING)
    lost = sum(reader.give([b"%d" % number]) for number in range(WAITING_LINES + 7))
    assert lost == 7
    notice, first, *_ = (await reader.chunk()).split(b"\n")
    assert b"deis[logger]: WARNING 7 lines are not shown" in notice
    assert first == b"7"
    reader.give([b"on"])
    assert await reader.chunk() == b"on\n"


async def test_large_lines_are_bounded_by_their_bytes() -> None:
    reader = Reader("a", EVERYTHING)
    line = b"x" * 16_384
    lost = sum(reader.give([line]) for _ in range(100))
    assert lost == 100 - WAITING_BYTES // len(line)


async def test_the_end_ends_it() -> None:
    reader = Reader("a", EVERYTHING)
    reader.give([b"last"])
    reader.end()
    assert await reader.chunk() == b""


def test_an_answer_fits_into_a_message() -> None:
    assert fitting([]).text == ""
    assert fitting([b"a", b"\xff"]).text == "a\n\N{REPLACEMENT CHARACTER}\n"
    wide = [b"\x00" * 16_384] * 1000
    text = fitting(wide).text
    assert 0 < len(text) * 6 <= ANSWER_BYTES * 1.1
