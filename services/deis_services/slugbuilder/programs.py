"""The programs a build runs: the buildpack's, the application's hooks, git."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from deis_services.slugbuilder import say

LINE = 16 * 1024
DETECT_SECONDS = 60.0
KEPT = 64 * 1024


def relayed(argv: Sequence[str | Path], cwd: Path, environ: Mapping[str, str]) -> int:
    """Run a program, its output indented under the present title; gives its exit code."""
    try:
        process = subprocess.Popen(  # noqa: S603 - a list, no shell
            [str(word) for word in argv],
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as fault:
        say.detail(f"{Path(argv[0]).name} cannot be started: {fault.strerror}")
        return 126
    with process:
        if process.stdout is not None:
            while raw := process.stdout.readline(LINE):
                say.relay(raw.decode("utf-8", "replace"))
        return process.wait()


def answered(
    argv: Sequence[str | Path], cwd: Path, environ: Mapping[str, str], *, errors: bool = False
) -> tuple[int, str]:
    """Run a short program; its exit code and what it printed (stderr only where asked for)."""
    try:
        done = subprocess.run(  # noqa: S603 - a list, no shell
            [str(word) for word in argv],
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None if errors else subprocess.DEVNULL,
            timeout=DETECT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 127, ""
    return done.returncode, done.stdout[:KEPT].decode("utf-8", "replace")


def is_program(path: Path) -> bool:
    """Whether there is a file that may be started."""
    return path.is_file() and os.access(path, os.X_OK)
