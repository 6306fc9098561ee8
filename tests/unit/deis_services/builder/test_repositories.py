"""Bare repositories: how they go, and what git costs where somebody pushes very large files."""

import os
import subprocess
import sys
from pathlib import Path

from deis_services.builder.repositories import Git, Repositories

APP = "0b1c4a5e-0d5f-4b5e-8f57-0c4a55b9a0c2"
LARGE = 64 * 1024 * 1024
MEASURED = """#!{python}
import resource, subprocess, sys
code = subprocess.run(["git", *sys.argv[1:]]).returncode
with open({report!r}, "a") as report:
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024, file=report)
raise SystemExit(code)
"""


def measured(folder: Path) -> Git:
    """A git that notes in `report` how much memory each run took at most."""
    program = folder / "git"
    program.write_text(MEASURED.format(python=sys.executable, report=str(folder / "report")))
    program.chmod(0o755)
    return Git(str(program), os.environ["PATH"])


async def test_what_a_killed_builder_left_goes_with_the_repository(tmp_path: Path) -> None:
    repositories = Repositories(tmp_path, Git("git", os.environ["PATH"]))
    await repositories.ensure(APP)
    (tmp_path / f".{APP}.00c0ffee" / "objects").mkdir(parents=True)
    (tmp_path / "hooks").mkdir()
    await repositories.remove(APP)
    await repositories.remove(APP)
    assert [path.name for path in tmp_path.iterdir()] == ["hooks"]


async def test_a_large_file_is_never_whole_in_memory(tmp_path: Path) -> None:
    git = measured(tmp_path)
    repositories = Repositories(tmp_path, git)
    path = await repositories.ensure(APP)
    environment = git.environment(tmp_path)
    names = [f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")]

    def told(*argv: str, data: bytes = b"") -> str:
        done = subprocess.run(
            (git.program, "--git-dir", str(path), *argv),
            input=data,
            stdout=subprocess.PIPE,
            env=environment | dict.fromkeys(names, "ada"),
            check=True,
        )
        return done.stdout.decode().strip()

    blob = told("hash-object", "-w", "--stdin", data=bytes(LARGE))
    tree = told("mktree", data=f"100644 blob {blob}\tlarge\n".encode())
    commit = told("commit-tree", "-m", "large", tree)
    (tmp_path / "report").unlink()
    packed = [chunk async for chunk in repositories.archive(path, commit, {})]
    assert packed
    assert int((tmp_path / "report").read_text()) < LARGE
