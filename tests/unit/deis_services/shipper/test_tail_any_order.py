"""Whatever happens in whatever order, every line is taken once, in the order of writing."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deis_services.shipper.files import LogFolder
from deis_services.shipper.listing import Counts
from deis_services.shipper.tail import Tail
from tests.behaviour.kubelet_logs import BLOG, SHOWN, ContainerLogs, entry

STEPS = (
    "write",
    "half",
    "rotate",
    "compress",
    "restart",
    "read one",
    "read all",
    "commit",
    "rollback",
    "release",
    "kill",
)


class Everybody:
    """The container, the kubelet, the shipper, and a logger that drops doubles."""

    def __init__(self, pods: Path) -> None:
        self.written: list[str] = []
        self.taken: dict[tuple[str, int], str] = {}
        self._pods = pods
        self._logs = ContainerLogs(pods)
        self._half = ""
        self._tail = self._made({})

    def _made(self, saved: object) -> Tail:
        return Tail(LogFolder(self._pods), BLOG, "blog-web", Counts(), saved)  # type: ignore[arg-type]

    def write(self, number: int) -> None:
        """The end of a line, or a whole one."""
        text = f"{number}"
        self._logs.append(entry(text))
        self.written.append(self._half + text)
        self._half = ""

    def half(self, number: int) -> None:
        """The beginning of a line, as a rotation or a long line leaves it."""
        text = f"{number}-"
        self._logs.append(entry(text, tag="P"))
        self._half += text

    def rotate(self) -> None:
        """By the kubelet, which never does so with an empty file."""
        if self._logs.current.stat().st_size:
            self._logs.rotate()

    def restart(self) -> None:
        """A line that had begun ends there."""
        if self._half:
            self.written.append(self._half)
            self._half = ""
        self._logs.restart()

    def read(self, all_of_it: bool) -> None:
        """Give lines to the logger."""
        self._tail.moved()
        reads = 0
        while (portion := self._tail.read()) is not None:
            reads += 1
            assert reads < 1000, "it goes round in circles"
            assert portion.source or not portion.lines, portion.lines
            for number, line in enumerate(portion.lines, portion.first):
                text = line.decode().removeprefix(SHOWN)
                assert self.taken.setdefault((portion.source, number), text) == text
            if not all_of_it:
                return

    def do(self, step: str, number: int) -> None:
        """One thing that may happen."""
        match step:
            case "write":
                self.write(number)
            case "half":
                self.half(number)
            case "rotate":
                self.rotate()
            case "compress":
                self._logs.compress()
            case "restart":
                self.restart()
            case "read one" | "read all":
                self.read(step == "read all")
            case "commit":
                self._tail.commit()
            case "rollback":
                self._tail.rollback()
            case "release":
                self._tail.release()
            case _:
                saved = self._tail.positions()
                self._tail.release()
                self._tail = self._made(saved)

    def end(self) -> None:
        """No line is open, and everything is read."""
        self.write(10**6)
        self.read(True)
        self._tail.commit()
        self._tail.release()


@given(st.lists(st.sampled_from(STEPS), max_size=30))
def test_every_line_is_taken_once_and_in_order(steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        everybody = Everybody(Path(folder))
        for number, step in enumerate(steps):
            everybody.do(step, number)
        everybody.end()
    assert list(everybody.taken.values()) == everybody.written


@pytest.mark.parametrize("step", STEPS)
def test_every_step_alone(tmp_path: Path, step: str) -> None:
    everybody = Everybody(tmp_path)
    everybody.write(1)
    everybody.read(True)
    everybody.do(step, 2)
    everybody.end()
    assert list(everybody.taken.values()) == everybody.written
