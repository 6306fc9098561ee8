"""Runs the programs of the machine: argument lists, a time limit, and their words on a fault."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from integration.cluster.errors import ClusterError

DEFAULT_SECONDS = 60.0


def run(
    *argv: str | Path,
    text: str = "",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    seconds: float = DEFAULT_SECONDS,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; `text` is its input, `env` its whole environment (None: ours).

    Raises ClusterError when it cannot be started, takes longer than `seconds` or, with `check`,
    ends with a fault.
    """
    name = " ".join(str(word) for word in argv[:3])
    try:
        done = subprocess.run(
            argv,
            input=text,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            env=env,
            cwd=cwd,
            check=False,
        )
    except OSError as fault:
        raise ClusterError(f"{name} cannot be started: {fault.strerror}") from fault
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{name} took longer than {seconds:g} s") from None
    if check and done.returncode:
        said = (done.stderr or done.stdout).strip()[-1500:]
        raise ClusterError(f"{name} ended with {done.returncode}: {said or 'it said nothing'}")
    return done


def inside(net: Path, argv: Sequence[str | Path]) -> list[str | Path]:
    """The same program in the network namespace `net`.

    nsenter, not `ip netns exec`: that one mounts another /sys, which hides the cgroups.
    """
    return ["nsenter", f"--net={net}", "--", *argv]
