import pytest

from deis_bus.cursors import BadCursor, Cursor, Gone, parse, start

EPOCH = "4f0a"


@pytest.mark.parametrize("text", ["4f0a-0", "4f0a-1", "A9-123456789012345678"])
def test_a_cursor_comes_back_as_it_was_written(text: str) -> None:
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4f0a",
        "-1",
        "4f0a-",
        "4f0a-x",
        "4f0a--1",
        "a b-1",
        "a-b-1",
        "4f0a-1.5",
        "4f0a-²",
        "4f0a-1234567890123456789",
    ],
)
def test_anything_else_is_told(text: str) -> None:
    with pytest.raises(BadCursor):
        parse(text)


@pytest.mark.parametrize(
    ("text", "begin"),
    [("beginning", 5), ("now", 10), ("4f0a-4", 5), ("4f0a-5", 6), ("4f0a-8", 9), ("4f0a-9", 10)],
)
def test_reading_begins_behind_the_cursor(text: str, begin: int) -> None:
    assert start(text, EPOCH, (5, 9)) == begin


@pytest.mark.parametrize("text", ["4f0a-3", "4f0a-0", "4f0a-10", "other-6"])
def test_a_place_that_is_gone_gives_the_oldest_one(text: str) -> None:
    with pytest.raises(Gone) as gone:
        start(text, EPOCH, (5, 9))
    assert gone.value.oldest == Cursor(EPOCH, 4)
    assert start(str(gone.value.oldest), EPOCH, (5, 9)) == 5


def test_an_empty_log_can_be_read_from_its_beginning() -> None:
    assert start("beginning", EPOCH, (1, 0)) == 1
    assert start("now", EPOCH, (1, 0)) == 1
    assert start("4f0a-0", EPOCH, (1, 0)) == 1
