"""Whatever was made is removed, and nothing else."""

import os
from pathlib import Path

from deis_platform.trees import remove_tree


def test_a_tree_deeper_than_paths_are_long(tmp_path: Path) -> None:
    deep = tmp_path / "deep"
    deep.mkdir()
    parent = os.open(deep, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=parent)
        os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=parent))
        inner = os.open("d", os.O_RDONLY, dir_fd=parent)
        os.close(parent)
        parent = inner
    os.close(parent)
    remove_tree(deep)
    assert not deep.exists()


def test_folders_that_are_closed(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "b" / "file").touch()
    for folder in (tree / "a" / "b", tree / "a", tree):
        folder.chmod(0o000 if folder.name == "b" else 0o555)
    remove_tree(tree)
    assert not tree.exists()


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o750)
    (kept / "file").touch()
    tree = tmp_path / "tree"
    (tree / "a").mkdir(parents=True)
    (tree / "link").symlink_to(kept)
    (tree / "a" / "link").symlink_to(kept)
    (tree / "a" / "broken").symlink_to("nothing")
    (tmp_path / "link").symlink_to(kept)
    remove_tree(tree)
    remove_tree(tmp_path / "link")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (kept / "file").exists()
    assert kept.stat().st_mode & 0o777 == 0o750


def test_files_and_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    remove_tree(tmp_path / "file")
    remove_tree(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_names_of_any_bytes(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name in (b"\xff\n", b"-rf", b"x" * 255):
        os.makedirs(os.fsencode(tree) + b"/" + name + b"/" + name)
    remove_tree(tree)
    assert not tree.exists()
