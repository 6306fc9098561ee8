"""The platform's own log: bounded, and lost rather than in anybody's way."""

import io
from pathlib import Path

from deis_services.platform_cli import logfile
from deis_services.platform_cli.logfile import PlatformLog


class Closed(io.StringIO):
    """A terminal that takes nothing."""

    def write(self, text: str) -> int:
        raise OSError(f"cannot write {text}")


def test_warnings_are_on_the_terminal_too(tmp_path: Path) -> None:
    terminal = io.StringIO()
    log = PlatformLog(tmp_path / "platform.log", terminal)
    log.write("2026-01-01 INFO all is well\n")
    log.write("2026-01-01 WARNING look at this\nand its trace\n")
    log.close()
    assert terminal.getvalue() == "2026-01-01 WARNING look at this\n"
    assert (tmp_path / "platform.log").read_text().count("\n") == 3


def test_what_cannot_be_written_stops_nobody_and_later_lines_come(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "platform.log"
    path.parent.mkdir()
    log = PlatformLog(path, Closed())
    log.write("first\n")
    # It cannot be turned: in the place of the one before lies what cannot be replaced.
    (path.with_suffix(".log.1") / "in the way").mkdir(parents=True)
    log.write("x" * (logfile.FILE_BYTES + 1) + "\n")
    path.rename(tmp_path / "first")
    path.parent.rename(tmp_path / "away")
    for _ in range(3):
        log.write("2026-01-01 ERROR lost\n")
    (tmp_path / "away").rename(path.parent)
    log.write("again\n")
    log.close()
    assert (tmp_path / "first").read_text().startswith("first\n")
    assert path.read_text() == "again\n"
