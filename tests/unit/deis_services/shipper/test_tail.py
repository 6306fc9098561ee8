"""One container is read in order, once, whatever the kubelet does to its files meanwhile."""

from pathlib import Path

import pytest

from deis_services.shipper.tail import CHUNK_BYTES
from tests.behaviour.kubelet_logs import SHOWN, ContainerLogs, entry
from tests.unit.deis_services.shipper.conftest import Reading, numbers


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
