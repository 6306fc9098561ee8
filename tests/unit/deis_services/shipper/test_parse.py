"""Entries of container runtimes become the lines that the local runtime would have made."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deis_bus.contracts.logs import MAX_LINE_BYTES
from deis_services.shipper.parse import MAX_ENTRY_BYTES, Parser

SOURCE = b"blog[web.v3.abcde]"
HEAD = b"2026-01-31T20:53:31+00:00 blog[web.v3.abcde]: "
ROOM = MAX_LINE_BYTES - len(HEAD)


def entry(text: bytes, tag: bytes = b"F", stream: bytes = b"stdout") -> bytes:
    """As containerd writes it."""
    return b"2026-01-31T20:53:31.379229973Z " + stream + b" " + tag + b" " + text + b"\n"


def whole(data: bytes, chunk: int = 64 * 1024) -> list[bytes]:
    """All lines of a file that is read in chunks, as a reader does."""
    parser = Parser(SOURCE)
    lines: list[bytes] = []
    at = 0
    while piece := data[at : at + chunk]:
        fed = parser.feed(piece)
        lines += fed.lines
        if not fed.consumed:
            break
        at += fed.consumed
    return lines + parser.end()


def texts(data: bytes) -> list[bytes]:
    """Of these lines, which all begin alike."""
    lines = whole(data)
    assert all(line.startswith(HEAD) for line in lines)
    return [line.removeprefix(HEAD) for line in lines]


def test_an_entry_is_a_line_at_its_own_time() -> None:
    assert whole(entry(b"hello")) == [HEAD + b"hello"]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("2026-01-31T22:53:31.379229973+02:00", b"2026-01-31T22:53:31+02:00"),
        ("2026-01-31T20:53:31Z", b"2026-01-31T20:53:31+00:00"),
        ("2026-01-31T20:53:31.3Z", b"2026-01-31T20:53:31+00:00"),
    ],
)
def test_times_have_seconds_and_a_numeric_zone(written: str, shown: bytes) -> None:
    line = f"{written} stderr F x\n".encode()
    assert whole(line) == [shown + b" blog[web.v3.abcde]: x"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"", b""),
        (b"a\r", b"a"),
        (b"a\rb", b"a\rb"),
        (b"a\0b\x1b[31m", b"a\0b\x1b[31m"),
        (b"\xff\xfe", b"\xff\xfe"),
        (b" two  spaces ", b" two  spaces "),
        (
            b"2026-01-31T20:53:31.379229973Z stdout F x",
            b"2026-01-31T20:53:31.379229973Z stdout F x",
        ),
    ],
)
def test_text_is_left_as_it_is_but_for_the_end_of_the_line(text: bytes, shown: bytes) -> None:
    assert texts(entry(text)) == [shown]


def test_an_entry_without_text_may_lack_the_last_space() -> None:
    assert texts(b"2026-01-31T20:53:31Z stdout F\n") == [b""]


def test_further_tags_are_left_alone() -> None:
    assert texts(entry(b"a", b"P:x") + entry(b"b", b"F:x:y")) == [b"ab"]


def test_parts_are_joined_by_stream() -> None:
    data = (
        entry(b"out1 ", b"P")
        + entry(b"err1 ", b"P", b"stderr")
        + entry(b"err2", b"F", b"stderr")
        + entry(b"out2", b"F")
    )
    assert texts(data) == [b"err1 err2", b"out1 out2"]


def test_a_line_that_is_too_long_becomes_several() -> None:
    text = bytes(range(32, 127)) * 1000
    parts = [text[start : start + 16_384] for start in range(0, len(text), 16_384)]
    data = b"".join(entry(part, b"P") for part in parts) + entry(b"", b"F") + entry(b"next")
    found = texts(data)
    assert b"".join(found[:-1]) == text
    assert found[-1] == b"next"
    assert [len(HEAD + line) for line in found[:-2]] == [MAX_LINE_BYTES] * (len(found) - 2)


def test_an_entry_without_end_is_taken_in_pieces_that_are_bounded() -> None:
    parser = Parser(SOURCE)
    text = b"x" * (10 * MAX_ENTRY_BYTES)
    data = entry(text)
    lines: list[bytes] = []
    at = 0
    while at < len(data):
        fed = parser.feed(data[at : at + 2 * MAX_ENTRY_BYTES])
        at += fed.consumed
        lines += fed.lines
        assert fed.consumed
    assert max(map(len, lines)) == MAX_LINE_BYTES
    assert b"".join(line.removeprefix(HEAD) for line in lines) == text


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\n",
        b"no entry at all\n",
        b"\0" * 100 + b"\n",
        b"2026-01-31 stdout F x\n",
        b"2026-01-31T20:53:31.379229973Z stdin F x\n",
        b"2026-01-31T20:53:31.379229973Z stdout X x\n",
        b"2026-01-31T20:53:31.379229973Z stdout Fx\n",
        b"x" * (3 * MAX_ENTRY_BYTES) + b"\n",
    ],
)
def test_what_is_no_entry_is_skipped_and_counted(nonsense: bytes) -> None:
    parser = Parser(SOURCE)
    data = entry(b"before") + nonsense + entry(b"after")
    lines: list[bytes] = []
    at = 0
    while at < len(data):
        fed = parser.feed(data[at : at + MAX_ENTRY_BYTES])
        lines += fed.lines
        at += fed.consumed
    assert lines == [HEAD + b"before", HEAD + b"after"]
    assert parser.malformed == 1


def test_half_an_entry_waits() -> None:
    parser = Parser(SOURCE)
    data = entry(b"one")
    fed = parser.feed(data + b"2026-01-31T20")
    assert (fed.consumed, fed.safe, fed.safe_lines) == (len(data), len(data), 1)
    assert parser.feed(b"2026-01-31T20").consumed == 0
    assert parser.end() == []


def test_an_open_line_is_told_from_a_safe_place() -> None:
    parser = Parser(SOURCE)
    first = entry(b"one")
    fed = parser.feed(first + entry(b"x" * ROOM + b"yz", b"P"))
    assert (fed.safe, fed.safe_lines, len(fed.lines)) == (len(first), 1, 2)
    assert parser.feed(entry(b"more", b"P")).safe is None
    assert parser.end() == [HEAD + b"yzmore"]


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Files of entries, whole, parts and nonsense."""
    text = st.one_of(
        st.binary(max_size=20),
        st.builds(bytes.__mul__, st.sampled_from([b"x", b"ab\r", b"\0"]), st.integers(0, 20_000)),
    ).map(lambda raw: raw.replace(b"\n", b""))
    one = st.one_of(
        st.builds(
            entry, text, st.sampled_from([b"F", b"P"]), st.sampled_from([b"stdout", b"stderr"])
        ),
        text.map(lambda raw: raw + b"\n"),
    )
    return b"".join(draw(st.lists(one, max_size=12)))


@given(files(), st.sampled_from([32 * 1024, 48 * 1024, 100_000, 1_000_000]))
def test_how_a_file_is_cut_into_chunks_changes_nothing(data: bytes, chunk: int) -> None:
    lines = whole(data, chunk)
    assert lines == whole(data, 10_000_000)
    assert all(len(line) <= MAX_LINE_BYTES and b"\n" not in line for line in lines)
    assert all(re.match(rb"\S+ blog\[web\.v3\.abcde\]: ", line) for line in lines)


@given(files(), st.integers(0, 11))
def test_beginning_again_at_a_safe_place_gives_the_rest(data: bytes, piece: int) -> None:
    parser = Parser(SOURCE)
    cut = data.find(b"\n", piece * len(data) // 12) + 1 or len(data)
    fed = parser.feed(data[:cut]) if cut else None
    if fed is None or fed.safe is None:
        return
    assert fed.lines[: fed.safe_lines] + whole(data[fed.safe :]) == whole(data)
