"""One container's files, and who reads them."""

from pathlib import Path

import pytest

from deis_services.shipper.files import LogFolder
from deis_services.shipper.listing import Counts
from deis_services.shipper.model import Key, Position
from deis_services.shipper.tail import Portion, Tail
from tests.behaviour.kubelet_logs import BLOG, SHOWN, ContainerLogs


class Reading:
    """A tail, and what it gave."""

    def __init__(self, pods: Path, saved: dict[Key, Position] | None = None) -> None:
        self.counts = Counts()
        self.tail = Tail(LogFolder(pods), BLOG, "blog-web", self.counts, saved or {})
        self.numbered: dict[tuple[str, int], str] = {}

    def give(self) -> list[str]:
        """Everything there is to read now, not confirmed."""
        self.tail.moved()
        texts: list[str] = []
        while (portion := self.tail.read()) is not None:
            texts += self._texts(portion)
        return texts

    def take(self) -> list[str]:
        """Everything there is to read now."""
        texts = self.give()
        self.tail.commit()
        return texts

    def _texts(self, portion: Portion) -> list[str]:
        texts = []
        for number, line in enumerate(portion.lines, portion.first):
            text = line.decode().removeprefix(SHOWN)
            if portion.source:
                assert self.numbered.setdefault((portion.source, number), text) == text
            texts.append(text)
        return texts


@pytest.fixture
def logs(tmp_path: Path) -> ContainerLogs:
    """The container's files, empty."""
    return ContainerLogs(tmp_path)


@pytest.fixture
def reading(tmp_path: Path, logs: ContainerLogs) -> Reading:
    """Who reads them."""
    return Reading(tmp_path)


def numbers(first: int, end: int) -> list[str]:
    """Texts that differ."""
    return [f"line {number}" for number in range(first, end)]
