"""Takes away what is mounted below a folder."""

from pathlib import Path

from integration.cluster.commands import run
from integration.cluster.errors import ClusterError


def mounts(folder: Path) -> list[str]:
    """What is mounted at or below `folder`, the deepest first."""
    top = folder.resolve()
    found = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        place = line.split(" ")[1].encode().decode("unicode_escape")  # blanks are written \040
        if Path(place).is_relative_to(top):
            found.append(place)
    return found[::-1]  # a mount comes after the one it lies on


def unmount(folder: Path) -> None:
    """Unmount all of it; who still uses a mount keeps it until its end. Raises ClusterError."""
    for place in mounts(folder):
        run("umount", "--lazy", place, check=False)
    if left := mounts(folder):
        raise ClusterError(f"still mounted: {', '.join(left)}")
