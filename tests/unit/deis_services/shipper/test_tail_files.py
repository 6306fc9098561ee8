"""Files that are gone, are not a container's own, or are not what they seem."""

import gzip
import os
from pathlib import Path

import pytest

from deis_services.shipper.files import MOST_NAMES
from deis_services.shipper.tail import AWAY
from tests.behaviour.kubelet_logs import BLOG, ContainerLogs, entry
from tests.unit.deis_services.shipper.conftest import Reading, numbers


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
