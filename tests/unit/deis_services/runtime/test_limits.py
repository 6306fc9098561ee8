"""What can be bound here, read from folders that look like a machine's cgroups."""

import os
from pathlib import Path

import pytest

from deis_services.runtime import limits


@pytest.fixture
def unified(tmp_path: Path) -> Path:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory pids\n")
    return tmp_path


def test_version_2_binds_memory_and_processor(unified: Path) -> None:
    found = limits.find_limits("x", unified, "0::/\n")
    assert found.describe() == "limits hold by cgroups version 2"
    group = found.group(64 << 20, 0.5)
    (folder,) = group.folders
    assert folder.parent == unified
    assert (folder / "memory.max").read_text() == str(64 << 20)
    assert (folder / "cpu.max").read_text() == "50000 100000"
    assert (folder / "pids.max").read_text() == str(limits.PROCESSES)
    assert group.data_bytes == 0


def test_our_own_group_holds_us_so_a_group_above_is_used(unified: Path) -> None:
    (unified / "user" / "session").mkdir(parents=True)
    (unified / "user" / "cgroup.subtree_control").write_text("memory\n")
    found = limits.find_limits("x", unified, "0::/user/session\n")
    assert found.group(1 << 20, 1.0).folders[0].parent == unified / "user"
    assert found.describe().endswith("no controller for cpu")


def test_version_1_has_a_hierarchy_per_controller(tmp_path: Path) -> None:
    (tmp_path / "memory" / "ours").mkdir(parents=True)
    (tmp_path / "pids").mkdir()
    found = limits.find_limits("x", tmp_path, "4:memory:/ours\n3:pids:/\n")
    group = found.group(1 << 20, 1.0)
    assert {folder.parent for folder in group.folders} == {
        tmp_path / "memory/ours",
        tmp_path / "pids",
    }
    assert (group.folders[0] / "memory.limit_in_bytes").read_text() == str(1 << 20)
    assert "no controller for cpu" in found.describe()


def test_without_cgroups_memory_is_bound_per_process(tmp_path: Path) -> None:
    found = limits.find_limits("x", tmp_path, "0::/\n")
    assert "processor limits do not hold" in found.describe()
    assert found.group(1 << 20, 1.0) == limits.Group((), 1 << 20)


def test_members_are_those_of_every_hierarchy(tmp_path: Path) -> None:
    for name, text in (("a", "1\n2\n"), ("b", "2\n3\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.procs").write_text(text)
    group = limits.Group((tmp_path / "a", tmp_path / "b", tmp_path / "gone"))
    assert group.members() == {1, 2, 3}


def test_groups_of_a_killed_runtime_are_swept_but_no_others(unified: Path) -> None:
    for name in ("deis-x-1", "deis-y-1", "system.slice"):
        (unified / name).mkdir()
    limits.find_limits("x", unified, "0::/\n").sweep()
    assert sorted(path for path in os.listdir(unified) if "cgroup" not in path) == [
        "deis-y-1",
        "system.slice",
    ]
