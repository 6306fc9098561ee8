"""Which folders are looked into, and when; with the system's own inotify."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from deis_services.shipper.files import LogFolder
from deis_services.shipper.folders import Folders
from deis_services.shipper.positions import Saved
from tests.behaviour.kubelet_logs import BLOG, SHOWN, ContainerLogs

NEXT = msgspec.structs.replace(BLOG, uid="2-2")


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Folders]:
    """Opened, with no pod yet."""
    made = Folders(LogFolder(tmp_path))
    made.open()
    yield made
    made.close()


def read(folders: Folders) -> list[str]:
    """Everything that waits, taken as arrived."""
    folders.hear()
    texts = []
    while folders.ready:
        tail = next(iter(folders.ready))
        del folders.ready[tail]
        while (portion := tail.read()) is not None:
            texts += [line.decode().removeprefix(SHOWN) for line in portion.lines]
        tail.commit()
        if tail.finished:
            folders.done(tail)
    return texts


def test_without_a_folder_of_logs_it_does_not_begin(tmp_path: Path) -> None:
    made = Folders(LogFolder(tmp_path / "absent"))
    with pytest.raises(FileNotFoundError, match="folder of logs"):
        made.open()
    made.close()


def test_folders_of_others_are_never_entered(tmp_path: Path, folders: Folders) -> None:
    ContainerLogs(tmp_path, NEXT).write("a stranger's")
    logs = ContainerLogs(tmp_path)
    logs.write("ours")
    folders.known(BLOG)
    ContainerLogs(tmp_path, NEXT, "later").write("a stranger's")
    assert read(folders) == ["ours"]
    assert {place[0] for place in folders._watches if place} == {BLOG.folder}


def test_only_what_has_happened_is_read(tmp_path: Path, folders: Folders) -> None:
    logs = ContainerLogs(tmp_path)
    quiet = ContainerLogs(tmp_path, NEXT)
    folders.known(BLOG)
    folders.known(NEXT)
    assert read(folders) == []
    logs.write("one")
    folders.hear()
    assert [tail.pod for tail in folders.ready] == [BLOG]
    assert read(folders) == ["one"]
    quiet.write("two")
    assert read(folders) == ["two"]


def test_a_pod_that_goes_and_a_container_that_comes_again(tmp_path: Path, folders: Folders) -> None:
    logs = ContainerLogs(tmp_path)
    folders.known(BLOG)
    logs.write("one")
    logs.remove()
    again = ContainerLogs(tmp_path)
    again.write("two")
    assert sorted(read(folders) + read(folders)) == ["two"], "nobody had opened the first one"
    again.write("three")
    assert read(folders) == ["three"]
    again.remove()
    folders.forgotten(BLOG)
    assert read(folders) == []
    assert (folders.tails, folders._pods, set(folders._watches)) == ({}, {}, {()})


def test_a_pod_that_is_gone_is_forgotten_with_its_folder(tmp_path: Path, folders: Folders) -> None:
    logs = ContainerLogs(tmp_path)
    folders.known(BLOG)
    folders.forgotten(BLOG)
    logs.write("last")
    assert read(folders) == ["last"]
    assert folders._pods
    logs.remove()
    read(folders)
    assert not folders._pods
    folders.known(NEXT)
    folders.forgotten(NEXT)
    assert not folders._pods, "it never had a folder"


def test_pods_of_before_are_read_without_the_api_server(tmp_path: Path) -> None:
    logs = ContainerLogs(tmp_path)
    logs.write("one")
    gone = msgspec.structs.replace(BLOG, uid="9-9")
    made = Folders(LogFolder(tmp_path), [Saved(BLOG, "blog-web", []), Saved(gone, "blog-web", [])])
    made.open()
    assert read(made) == ["one"]
    assert list(made._pods) == [BLOG.folder]
    made.known(BLOG)
    logs.write("two")
    assert read(made) == ["two"]
    made.close()


def test_a_pod_that_is_known_before_it_begins_may_have_no_folder_yet(tmp_path: Path) -> None:
    made = Folders(LogFolder(tmp_path))
    made.known(BLOG)
    made.open()
    ContainerLogs(tmp_path).write("one")
    assert read(made) == ["one"]
    made.close()


def test_a_pod_with_a_strange_name_is_refused(tmp_path: Path, folders: Folders) -> None:
    folders.known(msgspec.structs.replace(BLOG, name="../x"))
    assert (folders._pods, folders.counts.refused) == ({}, 1)


def test_links_in_place_of_folders_are_refused(tmp_path: Path) -> None:
    outside = ContainerLogs(tmp_path / "outside")
    outside.write("secret")
    pods = tmp_path / "pods"
    pods.mkdir()
    (pods / NEXT.folder).symlink_to(outside.folder.parent)
    (pods / BLOG.folder).mkdir()
    (pods / BLOG.folder / "blog-web").symlink_to(outside.folder)
    made = Folders(LogFolder(pods))
    made.open()
    made.known(BLOG)
    made.known(NEXT)
    assert read(made) == []
    assert made.counts.refused == 2
    made.close()


def test_nothing_stays_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    made = Folders(LogFolder(tmp_path))
    made.open()
    logs = ContainerLogs(tmp_path)
    made.known(BLOG)
    for _ in range(20):
        logs.write("x")
        logs.rotate()
        assert read(made) == ["x"]
    assert made.opened <= 1
    made.close()
    assert os.listdir("/proc/self/fd") == before
