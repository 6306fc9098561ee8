"""The journal of the last good table."""

import contextlib
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from deis_bus.ports import Entry
from deis_services.router.saved import SLACK, Journal


def reopened(path: Path) -> list[Entry]:
    journal = Journal(path)
    try:
        return journal.open()
    finally:
        journal.close()


def test_the_last_entry_of_a_key_wins_and_removals_stay(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    journal = Journal(path)
    assert journal.open() == []
    journal.append([Entry("app.a", b"\xff1", 1), Entry("app.b", b"2", 2)])
    journal.append([Entry("app.a", b"3", 3), Entry("app.b", None, 4)])
    journal.close()
    assert reopened(path) == [Entry("app.a", b"3", 3)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_torn_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    journal = Journal(path)
    journal.open()
    journal.append([Entry("app.a", b"1", 1)])
    journal.close()
    path.write_bytes(path.read_bytes() + b'["app.a",2,"torn')
    assert reopened(path) == [Entry("app.a", b"1", 1)]


@contextlib.contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """No file of this process grows beyond that, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_a_full_disk_did_not_take_is_written_once_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    journal = Journal(path)
    journal.open()
    journal.append([Entry("app.a", b"1", 1), Entry("app.b", b"1", 2)])
    with files_end_at(path.stat().st_size + 5):
        with pytest.raises(OSError, match="cut short"):
            journal.append([Entry("app.a", None, 3)])
        with pytest.raises(OSError, match="too large"):
            journal.append([Entry("app.b", b"2" * 1000, 4)])
    journal.append([Entry("app.c", b"3", 5)])
    journal.close()
    expected = [Entry("app.b", b"2" * 1000, 4), Entry("app.c", b"3", 5)]
    assert reopened(path) == expected
    assert not list(tmp_path.glob("*.new"))


def test_it_does_not_grow_without_end(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    journal = Journal(path)
    journal.open()
    for number in range(2 * SLACK):
        journal.append([Entry("app.a", b"x", number)])
    journal.close()
    assert len(path.read_bytes().splitlines()) <= SLACK + 3
    assert reopened(path) == [Entry("app.a", b"x", 2 * SLACK - 1)]
