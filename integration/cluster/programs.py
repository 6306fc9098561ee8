"""Starts the node's programs: each in a session of its own, in the node's network, with a log."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from integration.cluster.commands import inside
from integration.cluster.errors import ClusterError
from integration.cluster.layout import Layout
from integration.cluster.state import Process, Program, State, process

ROOT = Path(__file__).parents[2]
END_SECONDS = 30.0
_PAUSE_SECONDS = 0.1
_LOG_TAIL = 1500


@dataclass(slots=True)
class Programs:
    """The programs of one node."""

    layout: Layout
    binaries: Path
    state: State

    def start(self, name: str, argv: Sequence[str | Path]) -> None:
        """Start one, in the node's network; its output goes to logs/NAME.log."""
        words = [str(word) for word in argv]
        log = self._log(name)
        started = spawn(inside(self.layout.net, words), log)
        self.state.programs[name] = Program(started.pid, started.started, words)
        self.state.save(self.layout)

    def start_again(self, name: str) -> None:
        """Start one that has ended, as it was started before. Raises ClusterError."""
        known = self._known(name)
        if known.alive():
            raise ClusterError(f"{name} runs")
        self.start(name, known.argv)

    def end(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """End one and wait until it has. Raises ClusterError when it does not end."""
        known = self._known(name)
        if known.alive():
            os.kill(known.pid, how)
        until = time.monotonic() + END_SECONDS
        while known.alive():
            if time.monotonic() > until:
                raise ClusterError(f"{name} does not end")
            time.sleep(_PAUSE_SECONDS)

    def wait(self, what: str, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until `ready()`. Raises ClusterError when it takes too long or a program ended."""
        until = time.monotonic() + seconds
        while not ready():
            for name, one in self.state.programs.items():
                if not one.alive():
                    raise ClusterError(f"{name} ended: {self._tail(name)}")
            if time.monotonic() > until:
                raise ClusterError(
                    f"{what} is not there after {seconds:g} s: see {self.layout.logs}"
                )
            time.sleep(_PAUSE_SECONDS)

    def _known(self, name: str) -> Program:
        if name not in self.state.programs:
            raise ClusterError(f"no program {name}; there are {', '.join(self.state.programs)}")
        return self.state.programs[name]

    def _log(self, name: str) -> Path:
        return self.layout.logs / f"{name}.log"

    def _tail(self, name: str) -> str:
        text = self._log(name).read_text(errors="replace").strip()
        return text[-_LOG_TAIL:] or "it said nothing"


_children: list[subprocess.Popen[bytes]] = []
"""Kept, so that nobody warns of a child that runs on when its object goes."""


def spawn(argv: Sequence[str | Path], log: Path) -> Process:
    """Start a program that outlives us, in a session of its own."""
    _children[:] = [child for child in _children if child.poll() is None]  # reaps the ended
    with log.open("ab") as output:
        child = subprocess.Popen(
            argv,
            cwd=log.parent,
            env=os.environ | {"PYTHONPATH": str(ROOT)},  # for `-m integration.cluster`
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    _children.append(child)
    return process(child.pid)


def ourselves(verb: str) -> list[str]:
    """How one of our own processes is started."""
    return [sys.executable, "-m", "integration.cluster", verb]
