"""The images that the node is born with, as OCI archives in the cache.

`localhost/debian:bookworm-slim`, a Debian root with Python made by debootstrap, is what pods of
the tests run and what the platform's images are built from (`--build-arg BASE=`). The pause
image holds one program of ours. Both stand in for what an image hub would give.
"""

import hashlib
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from integration.cluster.commands import run
from integration.cluster.layout import BASE_IMAGE, PAUSE_IMAGE, cache
from integration.cluster.locks import locked
from integration.cluster.mounts import unmount
from integration.cluster.oci import write_archive

FORMAT = "2"
"""Changes with what `write_archive` makes of it."""
SUITE = "bookworm"
INCLUDED = ("bash", "ca-certificates", "python3")
"""python3-minimal lacks most of the library."""
LEFT_OUT = (
    "dev/*",
    "proc/*",
    "sys/*",
    "usr/share/doc/*",
    "usr/share/locale/*",
    "usr/share/man/*",
    "var/cache/apt/*",
    "var/lib/apt/lists/*",
    "var/log/*",
)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BOOTSTRAP_SECONDS = 900.0
_TAR_SECONDS = 300.0


def base_image(say: Callable[[str], None]) -> Path:
    """The archive of BASE_IMAGE; made when it is not in the cache. Needs root."""
    asked = " ".join((FORMAT, SUITE, *INCLUDED, *LEFT_OUT))
    archive = cache() / f"debian-{hashlib.sha256(asked.encode()).hexdigest()[:12]}.tar"
    with locked(cache() / "image.lock"):
        if not archive.exists():
            say(f"making {BASE_IMAGE}")
            _make_base(archive)
    return archive


def _make_base(archive: Path) -> None:
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix="debian-") as name:
        root, layer = Path(name) / "root", Path(name) / "layer.tar"
        options = ["--variant=minbase", f"--include={','.join(INCLUDED)}"]
        try:
            run("debootstrap", *options, SUITE, root, seconds=_BOOTSTRAP_SECONDS)
        finally:
            unmount(root)  # it mounts /proc there, and may have been stopped
        left_out = [f"--exclude=./{pattern}" for pattern in LEFT_OUT]
        argv: list[str | Path] = [
            "tar",
            "--numeric-owner",
            "--sort=name",
            *left_out,
            "-C",
            root,
            "-cf",
            layer,
            ".",
        ]
        run(*argv, seconds=_TAR_SECONDS)
        made = Path(name) / "image.tar"
        write_archive(made, BASE_IMAGE, layer, {"Cmd": ["bash"], "Env": [f"PATH={PATH}"]})
        made.rename(archive)


def pause_image(binaries: Path) -> Path:
    """The archive of PAUSE_IMAGE, beside the programs."""
    archive = binaries / "pause.tar"
    with tempfile.TemporaryDirectory(dir=binaries, prefix="pause-") as name:
        layer, made = Path(name) / "layer.tar", Path(name) / "image.tar"
        with tarfile.open(layer, "w") as tar:
            tar.add(binaries / "pause", "pause")
        write_archive(made, PAUSE_IMAGE, layer, {"Entrypoint": ["/pause"]})
        made.rename(archive)
    return archive
