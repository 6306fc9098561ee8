"""The keeper's own process: kills what was recorded once the pipe to the platform closes.

Run as `python -I -S -E keeper_process.py RECORD`; it imports next to nothing, so it costs a few
megabytes. Lines come on standard input, the same that the platform appends to the record file:

    boot ID            the machine's boot, the first line of a file
    mark NAME=VALUE    processes with this entry in their environment are ours
    home FOLDER/       processes whose HOME lies in it are ours
    + PID START        a session (or group) was started; START in clock ticks since boot, 0 unknown
    - PID              it has ended and was cleaned up

End of input means that the platform is gone, whatever the reason.
"""

import os
import signal
import sys
import time

PROC = "/proc"
ROUNDS = 500
PAUSE_SECONDS = 0.02

Stat = tuple[int, int, int, int, str]
"""Process id, group, session, start time, state letter."""


class Records:
    """What was recorded so far, in the order of the lines."""

    def __init__(self) -> None:
        self.boot = ""
        self.marks: list[bytes] = []
        self.homes: list[bytes] = []
        self.started: dict[int, int] = {}

    def take(self, line: str) -> None:
        """Take one line in; an unreadable one (a torn last write) is left out."""
        verb, _, rest = line.strip().partition(" ")
        if verb == "boot":
            self.boot = rest
        elif verb == "mark":
            self.marks.append(rest.encode())
        elif verb == "home":
            self.homes.append(b"HOME=" + rest.encode())
        elif verb == "+":
            pid, _, start = rest.partition(" ")
            if pid.isdigit() and start.isdigit():
                self.started[int(pid)] = int(start)
        elif verb == "-" and rest.isdigit():
            self.started.pop(int(rest), None)

    def stale(self) -> bool:
        """Whether they were written before the machine started anew: the numbers mean nothing."""
        return self.boot != boot_id()


def boot_id() -> str:
    """A word that changes with each start of the machine."""
    return read_bytes(f"{PROC}/sys/kernel/random/boot_id").decode().strip()


def read_bytes(path: str) -> bytes:
    """The content, empty when the process (or the right to read it) has gone meanwhile."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def stat_of(pid: int) -> Stat | None:
    """What /proc says about a process; None when there is none."""
    text = read_bytes(f"{PROC}/{pid}/stat")
    fields = text[text.rfind(b")") + 2 :].split()  # the name before may hold spaces and brackets
    if len(fields) < 20:
        return None
    return pid, int(fields[2]), int(fields[3]), int(fields[19]), fields[0].decode()


def alive() -> list[Stat]:
    """Every process that is no zombie: where nobody reaps, dead ones stay for ever."""
    found = [stat_of(int(name)) for name in os.listdir(PROC) if name.isdigit()]
    return [stat for stat in found if stat is not None and stat[4] not in "ZX"]


def targets(records: Records) -> list[int]:
    """Processes of recorded sessions and groups, and marked ones that fled from them.

    A number whose leader has another start time belongs to somebody else by now. Where the leader
    is gone the number cannot be given away as long as its session or group has members.
    """
    ours = {pid for pid, start in records.started.items() if still_ours(pid, start)}
    own = {os.getpid(), os.getppid()}
    return [
        pid
        for pid, group, session, _, _ in alive()
        if pid not in own and (session in ours or group in ours or is_marked(pid, records))
    ]


def still_ours(pid: int, start: int) -> bool:
    """Whether the number still means the recorded process or what it left behind."""
    stat = stat_of(pid)
    return stat is None or start in (0, stat[3])


def is_marked(pid: int, records: Records) -> bool:
    """Whether the environment that the process was started with says that it is ours."""
    if not records.marks and not records.homes:
        return False
    entries = read_bytes(f"{PROC}/{pid}/environ").split(b"\0")
    return any(entry in records.marks for entry in entries) or any(
        entry.startswith(home) for entry in entries for home in records.homes
    )


def kill_all(records: Records) -> None:
    """Kill until nothing is left: what forks meanwhile is found in the next round."""
    for _ in range(ROUNDS):
        found = targets(records)
        if not found:
            return
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        time.sleep(PAUSE_SECONDS)


def clean(path: str) -> None:
    """Kill what the file names, if it is of this boot, and remove the file."""
    records = Records()
    for line in read_bytes(path).decode(errors="replace").splitlines():
        records.take(line)
    if not records.stale():
        kill_all(records)
    remove(path)


def remove(path: str) -> None:
    """Remove the record file, if it is still there (the whole data folder may have gone)."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def main() -> None:
    """Keep the records until the pipe closes, then kill them and remove the record file."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)  # Ctrl-C is the platform's to handle
    path = sys.argv[1]
    records = Records()
    print("ready", flush=True)  # noqa: T201 - the platform waits for it
    for line in sys.stdin:
        records.take(line)
    for line in read_bytes(path).decode(errors="replace").splitlines():
        records.take(line)
    kill_all(records)
    remove(path)


if __name__ == "__main__":
    main()
