"""Log files of a container as containerd writes and the kubelet rotates them."""

import gzip
import itertools
import os
import shutil
from pathlib import Path

from deis_services.shipper.model import Pod

BLOG = Pod(
    namespace="blog",
    name="blog-web-1234567890-abcde",
    uid="0d3adb33-0000-4000-8000-000000000001",
    app="blog",
    appuuid="u1",
    type="web",
    release=3,
)
SHOWN = "2026-01-31T20:53:31+00:00 blog[web.v3.abcde]: "
"""How a line of its begins in the application's log."""

_ticks = itertools.count(1)


def entry(text: str | bytes, *, stream: str = "stdout", tag: str = "F") -> bytes:
    """An entry of its own time, as no other one has."""
    raw = text.encode() if isinstance(text, str) else text
    nanoseconds = f"{next(_ticks):09d}"
    return f"2026-01-31T20:53:31.{nanoseconds}Z {stream} {tag} ".encode() + raw + b"\n"


class ContainerLogs:
    """The folder of one container, below the folder `pods` of a node."""

    def __init__(self, pods: Path, pod: Pod = BLOG, container: str = "blog-web") -> None:
        self.folder = pods / pod.folder / container
        self.folder.mkdir(parents=True)
        self._restart = 0
        self._stamps = itertools.count(1)
        self.current.touch()

    @property
    def current(self) -> Path:
        """What is written to."""
        return self.folder / f"{self._restart}.log"

    def write(self, *texts: str) -> None:
        """Lines."""
        self.append(b"".join(entry(text) for text in texts))

    def append(self, data: bytes) -> None:
        """Whatever it is."""
        with self.current.open("ab", buffering=0) as file:
            file.write(data)

    def rotate(self) -> Path:
        """Put the file aside and begin another one; earlier ones are compressed first."""
        self.compress()
        aside = self.folder / f"{self.current.name}.20260131-{next(self._stamps):06d}"
        self.current.rename(aside)
        self.current.touch()
        return aside

    def compress(self) -> None:
        """What was put aside."""
        for path in self.folder.glob("*.log.*"):
            if path.suffix == ".gz":
                continue
            beside = path.with_name(path.name + ".tmp")
            with path.open("rb") as plain, gzip.open(beside, "wb") as packed:
                shutil.copyfileobj(plain, packed)
            beside.rename(path.with_name(path.name + ".gz"))
            path.unlink()

    def restart(self) -> None:
        """The container died and is started again."""
        self._restart += 1
        self.current.touch()

    def remove_oldest(self) -> None:
        """Too many of them."""
        min(self.folder.glob("*.log.*")).unlink()

    def remove(self) -> None:
        """The pod is gone, and so are its logs."""
        for path in self.folder.iterdir():
            path.unlink()
        self.folder.rmdir()
        os.rmdir(self.folder.parent)
