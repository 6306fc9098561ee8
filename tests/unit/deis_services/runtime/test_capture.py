"""From bytes to bounded lines."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deis_bus.contracts.logs import MAX_LINE_BYTES
from deis_services.runtime import capture as module
from deis_services.runtime.capture import Lines, capture


@given(st.lists(st.text("ab\n").map(str.encode), max_size=20))
def test_lines_do_not_depend_on_how_the_bytes_came(chunks: list[bytes]) -> None:
    lines = Lines()
    found = [line for chunk in chunks for line in lines.feed(chunk)] + lines.end()
    whole = b"".join(chunks)
    expected = whole.split(b"\n")
    assert found == (expected[:-1] if not expected[-1] else expected)


def test_a_carriage_return_before_the_newline_is_no_part_of_the_line() -> None:
    lines = Lines()
    assert lines.feed(b"one\r\ntw") == [b"one"]
    assert lines.end() == [b"tw"]
    assert lines.end() == []


def test_a_long_line_becomes_several_and_is_never_held_whole() -> None:
    lines = Lines()
    found = lines.feed(b"x" * (2 * MAX_LINE_BYTES + 1))
    assert [len(line) for line in found] == [MAX_LINE_BYTES] * 2
    assert lines.feed(b"\n") == [b"x"]
    found = lines.feed(b"y" * (MAX_LINE_BYTES + 5) + b"\nz")
    assert [len(line) for line in found] == [MAX_LINE_BYTES, 5]
    assert lines.end() == [b"z"]


async def test_the_last_line_needs_no_newline() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"one\n\nthree")
    reader.feed_eof()
    got: list[bytes] = []
    await capture(reader, got.append)
    assert got == [b"one", b"", b"three"]


async def test_a_flood_is_paced(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def paused(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", paused)
    reader = asyncio.StreamReader()
    reader.feed_data(b"y\n" * 1000 + b"x" * 100_000)
    reader.feed_eof()
    got: list[bytes] = []
    await capture(reader, got.append)
    assert len(got) > 1000
    assert len(pauses) >= 1000 // module.WINDOW_COST
    assert max(pauses) <= module.WINDOW_SECONDS + 1e-6  # of a float clock
