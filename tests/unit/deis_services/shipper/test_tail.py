"""One container is read in order, once, whatever the kubelet does to its files meanwhile."""

import gzip
import os
from pathlib import Path

import pytest

from deis_services.shipper.files import MOST_NAMES, LogFolder
from deis_services.shipper.listing import Counts
from deis_services.shipper.model import Key, Position
from deis_services.shipper.tail import AWAY, CHUNK_BYTES, Portion, Tail
from tests.behaviour.kubelet_logs import BLOG, SHOWN, ContainerLogs, entry


class Reading:
    """A tail, and what it gave."""

    def __init__(self, pods: Path, saved: dict[Key, Position] | None = None) -> None:
        self.counts = Counts()
        self.tail = Tail(LogFolder(pods), BLOG, "blog-web", self.counts, saved or {})
        self.numbered: dict[tuple[str, int], str] = {}

    def give(self) -> list[str]:
        """Everything there is to read now, not confirmed."""
        self.tail.moved()
        texts: list[str] = []
        while (portion := self.tail.read()) is not None:
            texts += self._texts(portion)
        return texts

    def take(self) -> list[str]:
        """Everything there is to read now."""
        texts = self.give()
        self.tail.commit()
        return texts

    def _texts(self, portion: Portion) -> list[str]:
        texts = []
        for number, line in enumerate(portion.lines, portion.first):
            text = line.decode().removeprefix(SHOWN)
            if portion.source:
                assert self.numbered.setdefault((portion.source, number), text) == text
            texts.append(text)
        return texts


@pytest.fixture
def logs(tmp_path: Path) -> ContainerLogs:
    """The container's files, empty."""
    return ContainerLogs(tmp_path)


@pytest.fixture
def reading(tmp_path: Path, logs: ContainerLogs) -> Reading:
    """Who reads them."""
    return Reading(tmp_path)


def numbers(first: int, end: int) -> list[str]:
    """Texts that differ."""
    return [f"line {number}" for number in range(first, end)]


def test_lines_come_as_they_are_written(logs: ContainerLogs, reading: Reading) -> None:
    assert reading.take() == []
    logs.write("one", "two")
    assert reading.take() == ["one", "two"]
    logs.append(entry("three")[:-3])
    assert reading.take() == []
    logs.append(b"ee\n")
    assert reading.take() == ["three"]
    assert reading.take() == []


def test_a_renamed_file_is_read_to_its_end_before_the_next_one(
    logs: ContainerLogs, reading: Reading
) -> None:
    logs.write("one")
    assert reading.take() == ["one"]
    logs.write("two")
    aside = logs.rotate()
    with aside.open("ab") as late:  # containerd writes on until it is told
        late.write(entry("three"))
    logs.write("four")
    assert reading.take() == ["two", "three", "four"]
    with aside.open("ab") as late:
        late.write(entry("very late"))
    assert reading.take() == ["very late"]


def test_a_line_that_goes_on_in_the_next_file_is_one_line(
    tmp_path: Path, logs: ContainerLogs, reading: Reading
) -> None:
    logs.write("one")
    logs.append(entry("two begins ", tag="P"))
    assert reading.take() == ["one"]
    logs.rotate()
    assert reading.take() == []
    before = reading.tail.positions()
    logs.append(entry("and ends"))
    logs.write("three")
    assert reading.take() == ["two begins and ends", "three"]
    again = Reading(tmp_path, before)
    again.numbered = reading.numbered
    assert again.take() == ["two begins and ends", "three"]
    after = Reading(tmp_path, reading.tail.positions())
    logs.write("four")
    assert after.take() == ["four"]
    everything = Reading(tmp_path)
    everything.numbered = reading.numbered
    assert everything.take() == ["one", "two begins and ends", "three", "four"]


def test_a_line_whose_file_is_closed_in_between_is_still_one(
    logs: ContainerLogs, reading: Reading
) -> None:
    logs.append(entry("a", tag="P"))
    logs.rotate()
    logs.append(entry("b", tag="P"))
    assert reading.take() == []
    reading.tail.release()
    logs.append(entry("c"))
    assert reading.take() == ["abc"]


def test_a_line_that_never_ends_is_given_after_a_while(
    logs: ContainerLogs, reading: Reading
) -> None:
    logs.append(entry("no newline", tag="P"))
    assert reading.take() == []
    assert reading.tail.waits
    assert not reading.tail.tick()
    assert reading.take() == []
    assert reading.tail.tick()
    assert reading.take() == ["no newline"]
    assert not reading.tail.waits
    logs.append(entry(" but an end"))
    logs.restart()
    logs.append(entry("half", tag="P"))
    logs.restart()
    logs.write("whole")
    assert reading.take() == [" but an end", "half", "whole"]


def test_compressed_files_are_read_too(logs: ContainerLogs, reading: Reading) -> None:
    everything = numbers(0, 4000)
    for start in range(0, 4000, 1000):
        logs.write(*everything[start : start + 1000])
        logs.rotate()
    logs.compress()
    logs.write("newest")
    assert [path.suffix for path in logs.folder.iterdir()].count(".gz") == 4
    assert reading.take() == [*everything, "newest"]


def test_what_was_read_is_not_read_again_when_it_is_compressed(
    logs: ContainerLogs, reading: Reading
) -> None:
    everything = numbers(0, 3000)
    logs.write(*everything[:1000])
    assert reading.take() == everything[:1000]
    logs.write(*everything[1000:2000])
    reading.tail.release()
    logs.rotate()
    logs.compress()
    logs.write(*everything[2000:])
    assert reading.take() == everything[1000:]
    assert reading.take() == []


def test_a_file_is_held_while_it_is_read(logs: ContainerLogs, reading: Reading) -> None:
    lines = ["x" * 100 + str(number) for number in range(3 * CHUNK_BYTES // 100)]
    logs.write(*lines)
    first = reading.tail.read()
    assert first is not None
    logs.rotate()
    logs.remove_oldest()
    logs.write("next")
    assert [line.decode().removeprefix(SHOWN) for line in first.lines] + reading.take() == [
        *lines,
        "next",
    ]
    assert reading.counts.lost == 0


def test_containers_that_start_again_are_read_in_order(
    logs: ContainerLogs, reading: Reading
) -> None:
    logs.write("first life")
    logs.restart()
    logs.write("second life")
    logs.rotate()
    logs.write("still the second")
    logs.restart()
    logs.write("third life")
    assert reading.take() == ["first life", "second life", "still the second", "third life"]


@pytest.mark.parametrize("stop_at", [0, 1, 700, 1999])
def test_it_goes_on_from_saved_positions(tmp_path: Path, logs: ContainerLogs, stop_at: int) -> None:
    everything = numbers(0, 4000)
    before = Reading(tmp_path)
    logs.write(*everything[:stop_at])
    taken = before.take()
    saved = before.tail.positions()
    logs.write(*everything[stop_at:2000])
    logs.rotate()
    logs.write(*everything[2000:3000])
    logs.rotate()
    logs.write(*everything[3000:])
    after = Reading(tmp_path, saved)
    assert taken + after.take() == everything
    assert not set(before.numbered) & set(after.numbered)


def test_what_is_given_again_has_the_same_numbers(tmp_path: Path, logs: ContainerLogs) -> None:
    reading = Reading(tmp_path)
    logs.write("one")
    logs.append(entry("x" * 40_000, tag="P") + entry("y" * 10))
    logs.write("two")
    given = reading.give()
    reading.tail.rollback()
    assert reading.give() == given
    reading.tail.commit()
    again = Reading(tmp_path)
    again.numbered = reading.numbered
    assert again.take() == given
    assert len(reading.numbered) == len(given) == 5


def test_what_is_given_again_comes_in_the_same_order(logs: ContainerLogs, reading: Reading) -> None:
    logs.write("one")
    logs.rotate()
    logs.write("two")
    for _ in range(3):
        assert reading.give() == ["one", "two"]
        reading.tail.rollback()


def test_a_file_without_a_name_can_be_given_again(logs: ContainerLogs, reading: Reading) -> None:
    logs.write("one")
    assert reading.give() == ["one"]
    logs.remove()
    reading.tail.rollback()
    assert reading.take() == ["one"]
    assert reading.tail.finished


def test_a_deleted_container_is_read_to_its_end_and_over(
    logs: ContainerLogs, reading: Reading
) -> None:
    logs.write("one")
    assert reading.take() == ["one"]
    logs.write("last words")
    logs.append(entry("half", tag="P"))
    logs.remove()
    assert not reading.tail.finished
    assert reading.give() == ["last words", "half"]
    assert not reading.tail.finished, "not before it has arrived"
    reading.tail.commit()
    assert reading.tail.finished
    assert not reading.tail.opened


def test_what_was_removed_unread_is_told(logs: ContainerLogs, reading: Reading) -> None:
    logs.write(*numbers(0, 100))
    assert reading.take() == numbers(0, 100)
    logs.rotate()
    logs.write(*numbers(100, 200))
    reading.tail.release()
    assert reading.tail.read() is not None, "it begins with the second file"
    reading.tail.rollback()
    logs.rotate()
    logs.write(*numbers(200, 300))
    logs.rotate()
    reading.tail.moved()
    reading.tail._look()
    oldest = sorted(logs.folder.glob("*.log.*"))
    oldest[2].unlink()
    logs.write("newest")
    told, *rest = [text for text in reading.take() if not text.startswith("line 1")]
    assert "deis[shipper]: WARNING about" in told
    assert f"lines of {BLOG.name} are lost" in told
    assert rest == ["newest"]
    assert 80 <= reading.counts.lost <= 120


def test_a_loss_while_nobody_was_there_is_told(tmp_path: Path, logs: ContainerLogs) -> None:
    before = Reading(tmp_path)
    logs.write("one")
    before.take()
    saved = before.tail.positions()
    for text in ("two", "three"):
        logs.write(text)
        logs.rotate()
    logs.remove_oldest()
    after = Reading(tmp_path, saved)
    notice, *rest = after.take()
    assert notice.endswith(f"deis[shipper]: WARNING {AWAY}")
    assert rest == ["three"]


def test_an_old_life_that_was_tidied_away_is_no_loss(tmp_path: Path, logs: ContainerLogs) -> None:
    before = Reading(tmp_path)
    logs.write("one")
    before.take()
    saved = before.tail.positions()
    logs.restart()
    (logs.folder / "0.log").unlink()
    logs.write("two")
    after = Reading(tmp_path, saved)
    assert after.take() == ["two"]
    assert after.counts.lost == 0


def test_an_inode_that_is_used_again_is_another_file(logs: ContainerLogs, tmp_path: Path) -> None:
    reading = Reading(tmp_path)
    logs.write("one", "two")
    assert reading.take() == ["one", "two"]
    reading.tail.release()
    os.truncate(logs.current, 0)
    logs.write("three", "four", "five")
    assert reading.take() == ["three", "four", "five"]


@pytest.mark.parametrize("place", ["link", "outside link", "hard link", "pipe", "folder"])
def test_what_is_no_file_of_its_own_is_not_read(tmp_path: Path, place: str) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(entry("secret"))
    pods = tmp_path / "pods"
    logs = ContainerLogs(pods)
    path = logs.folder / "1.log"
    match place:
        case "link":
            path.symlink_to("0.log")
        case "outside link":
            path.symlink_to(secret)
        case "hard link":
            path.hardlink_to(secret)
        case "pipe":
            os.mkfifo(path)
        case _:
            path.mkdir()
    logs.write("mine")
    reading = Reading(pods)
    assert reading.take() == ["mine"]
    assert reading.counts.refused


def test_a_folder_that_is_a_link_is_not_entered(tmp_path: Path) -> None:
    outside = ContainerLogs(tmp_path / "outside")
    outside.write("secret")
    pods = tmp_path / "pods"
    (pods / BLOG.folder).mkdir(parents=True)
    (pods / BLOG.folder / "blog-web").symlink_to(outside.folder)
    reading = Reading(pods)
    assert reading.take() == []
    assert reading.tail.finished
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / BLOG.folder).symlink_to(outside.folder.parent)
    assert Reading(linked).take() == []


@pytest.mark.parametrize(
    "name", ["0.log.tmp", "0.log.20260131-000001.gz.tmp", "x.log", "-1.log", ".log", "0.log.x"]
)
def test_other_names_are_left_alone(logs: ContainerLogs, reading: Reading, name: str) -> None:
    (logs.folder / name).write_bytes(entry("secret"))
    logs.write("mine")
    assert reading.take() == ["mine"]


def test_a_compressed_file_that_promises_too_much_is_passed_over(
    logs: ContainerLogs, reading: Reading
) -> None:
    packed = gzip.compress(entry("old"))
    path = logs.folder / "0.log.20260131-000001.gz"
    path.write_bytes(packed[:-4] + (10**6).to_bytes(4, "little"))
    logs.write("new")
    assert reading.take()[-1] == "new"
    assert reading.take() == []


@pytest.mark.parametrize(
    "content", [b"", b"\x1f\x8b", b"no gzip at all, but long enough to be one"]
)
def test_a_broken_compressed_file_is_passed_over(
    logs: ContainerLogs, reading: Reading, content: bytes
) -> None:
    (logs.folder / "0.log.20260131-000001.gz").write_bytes(content)
    logs.write("mine")
    assert reading.take() == ["mine"]


def test_a_folder_with_thousands_of_files_is_read(logs: ContainerLogs, reading: Reading) -> None:
    for number in range(3000):
        name = f"0.log.20260131-{number:06d}"
        (logs.folder / name).write_bytes(entry(f"old {number}"))
    logs.write("new")
    assert MOST_NAMES > 3001
    taken = reading.take()
    assert taken == [*(f"old {number}" for number in range(3000)), "new"]
    assert reading.take() == []
