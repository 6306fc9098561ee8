"""The processes of a running platform, by the names that tests kill or stop them by."""

import contextlib
import os
import signal

import psutil

from integration.platform_up import Platform
from integration.servers import until
from integration.test_up_life import family

SERVERS = ("nats", "postgres", "nginx")
SERVICES = ("controller", "gateway", "builder", "runtime", "router", "logger", "manager")
PROGRAMS = {"nats": "nats-server", "postgres": "postgres", "nginx": "nginx"}


async def kill(platform: Platform, name: str) -> None:
    """SIGKILL to what runs under that name now, as soon as there is something."""
    await until(lambda: _killed(platform, name), f"{name} runs and is killed", 60)


def _killed(platform: Platform, name: str) -> bool:
    killed = [pid for pid in find(platform, name) if send(pid, signal.SIGKILL)]
    return bool(killed)


def send(pid: int, number: signal.Signals) -> bool:
    """Whether it was still there to get the signal."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def find(platform: Platform, name: str) -> list[int]:
    """Process ids; of a server its top process, whose workers and backends die of its death."""
    found = {}
    for process in family(platform.process.pid):
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE:
                found[process.pid] = (process.ppid(), process.name(), process.cmdline())
    if name in SERVICES:
        return [pid for pid, (_, _, words) in found.items() if words[-2:] == ["run", name]]
    program = PROGRAMS[name]
    ours = {pid: parent for pid, (parent, kind, _) in found.items() if kind == program}
    return [pid for pid, parent in ours.items() if parent not in ours]
