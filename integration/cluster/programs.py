"""Starts the node's programs: each in a session of its own, in the node's network, with a log."""

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from integration.cluster.commands import inside
from integration.cluster.errors import ClusterError
from integration.cluster.layout import Layout
from integration.cluster.state import State, process

_PAUSE_SECONDS = 0.1
_LOG_TAIL = 1500


@dataclass(slots=True)
class Programs:
    """The programs of one node while it comes up."""

    layout: Layout
    binaries: Path
    state: State

    def start(
        self, name: str, argv: Sequence[str | Path], env: Mapping[str, str] | None = None
    ) -> None:
        """Start one, in the node's network; its output goes to logs/NAME.log."""
        with self._log(name).open("ab") as log:
            child = subprocess.Popen(
                inside(self.layout.net, argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=env,
                cwd=self.layout.folder,
            )
        self.state.processes[name] = process(child.pid)
        self.state.save(self.layout)

    def wait(self, what: str, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until `ready()`. Raises ClusterError when it takes too long or a program ended."""
        until = time.monotonic() + seconds
        while not ready():
            for name, one in self.state.processes.items():
                if not one.alive():
                    raise ClusterError(f"{name} ended: {self._tail(name)}")
            if time.monotonic() > until:
                raise ClusterError(
                    f"{what} is not there after {seconds:g} s: see {self.layout.logs}"
                )
            time.sleep(_PAUSE_SECONDS)

    def _log(self, name: str) -> Path:
        return self.layout.logs / f"{name}.log"

    def _tail(self, name: str) -> str:
        text = self._log(name).read_text(errors="replace").strip()
        return text[-_LOG_TAIL:] or "it said nothing"
