"""Ends the node when its owner ends or its time is over, whatever happened to its starter.

A process of its own, outside the node's network: `python -m integration.cluster watch`.
"""

import os
import select
import time

from integration.cluster.cleanup import clean
from integration.cluster.layout import Layout
from integration.cluster.locks import node_lock
from integration.cluster.programs import ourselves, spawn
from integration.cluster.state import Process, load, started

_LONGEST_POLL = 3600.0


def start(layout: Layout) -> Process:
    """Start it for the node that is written down in `layout`."""
    return spawn(ourselves("watch"), layout.folder / "watchdog.log")


def watch(layout: Layout) -> None:
    """Wait for the end of the owner or of the time, then clean up."""
    state = load(layout)
    if state is None:
        return
    wait(state.owner, state.ends_at)
    with node_lock():
        clean(layout)


def wait(owner: Process | None, ends_at: float) -> None:
    """Until `owner` has ended or the clock shows `ends_at`, in seconds since the epoch."""
    handle = None if owner is None else _open(owner)
    if owner is not None and handle is None:
        return
    poll = select.poll()
    if handle is not None:
        poll.register(handle, select.POLLIN)
    while (left := ends_at - time.time()) > 0:
        if poll.poll(1000 * min(left, _LONGEST_POLL)):
            return


def _open(owner: Process) -> int | None:
    """A handle that becomes readable when the process ends; None when it is gone already."""
    try:
        handle = os.pidfd_open(owner.pid)
    except ProcessLookupError:
        return None
    return handle if started(owner.pid) == owner.started else None
