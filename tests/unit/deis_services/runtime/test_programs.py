"""The copy of what applications and builds run of ours: made once, remade, removed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deis_platform.embedded.owners import Owner
from deis_services.runtime.programs import OURS, WHOLE, Installed, Programs, reachable

CHANGING = shutil.ignore_patterns("__pycache__")
"""Other tests' processes may be writing there just now."""
SOMEBODY = Owner(1_900_000_000, 1_900_000_000)


@pytest.fixture
def closed(tmp_path: Path) -> Installed:
    """An installation that nobody else may enter."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    python = folder / "python3"
    python.symlink_to(os.path.realpath(sys.executable))
    for part in ("slugbuilder", "slugrunner"):
        shutil.copytree(OURS / part, folder / "ours" / part, ignore=CHANGING)
    shutil.copy(OURS / "__init__.py", folder / "ours")
    return Installed(python=python, package=folder / "ours")


def copy_of(programs: Programs) -> Path:
    """The folder of a copy."""
    return programs.python.parent.parent


def test_an_open_installation_is_not_copied(tmp_path: Path, closed: Installed) -> None:
    reachable(tmp_path, SOMEBODY, closed)
    assert (tmp_path / "tools").exists()
    assert reachable(tmp_path, Owner()) == Programs()
    assert not (tmp_path / "tools").exists()


def test_the_copy_finds_all_it_needs_and_nothing_else(tmp_path: Path, closed: Installed) -> None:
    copy = reachable(tmp_path, SOMEBODY, closed)
    look = "import sys, deis_services.slugbuilder.build as b, yaml, uv"
    look += "; print(b.__file__, yaml.__file__, uv.find_uv_bin(), *sys.path, sep='\\n')"
    said = subprocess.run(
        [copy.python, "-I", "-c", look], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert all(line.startswith(str(copy_of(copy))) for line in said[:3])
    assert not [line for line in said[3:] if line.startswith(sys.prefix)]
    assert (copy.package / "slugrunner" / "runner.py").is_file()


def test_everybody_may_read_it_and_nobody_write(tmp_path: Path, closed: Installed) -> None:
    (closed.package / "slugrunner" / "runner.py").chmod(0o600)
    before = os.umask(0o077)
    try:
        copy = reachable(tmp_path, SOMEBODY, closed)
    finally:
        os.umask(before)
    modes = {
        oct(path.stat().st_mode & 0o777)
        for path in (tmp_path / "tools").rglob("*")
        if not path.is_symlink()
    }
    assert modes == {"0o755", "0o644"}
    assert (copy_of(copy) / "bin" / "uv").stat().st_mode & 0o111 == 0o111


def test_it_is_made_once_and_again_when_the_code_changed(tmp_path: Path, closed: Installed) -> None:
    first = reachable(tmp_path, SOMEBODY, closed)
    made = (copy_of(first) / WHOLE).stat().st_mtime_ns
    assert reachable(tmp_path, SOMEBODY, closed) == first
    assert (copy_of(first) / WHOLE).stat().st_mtime_ns == made
    with (closed.package / "slugrunner" / "runner.py").open("a") as program:
        program.write("# newer\n")
    second = reachable(tmp_path, SOMEBODY, closed)
    assert (second.package / "slugrunner" / "runner.py").read_text().endswith("# newer\n")
    assert list((tmp_path / "tools").iterdir()) == [copy_of(second)]


def test_what_may_have_holes_is_made_anew(tmp_path: Path, closed: Installed) -> None:
    first = reachable(tmp_path, SOMEBODY, closed)
    (copy_of(first) / "bin" / "uv").write_bytes(b"")
    (copy_of(first) / WHOLE).write_text("an earlier boot of the machine")
    copy_of(first).with_name(".unfinished").mkdir()
    assert reachable(tmp_path, SOMEBODY, closed) == first
    assert (copy_of(first) / "bin" / "uv").stat().st_size
    assert list((tmp_path / "tools").iterdir()) == [copy_of(first)]
