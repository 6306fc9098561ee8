"""TCP ports: whether one is free, and free ones for servers that only we speak to."""

import errno
import os
import random
import socket
import sys
from collections import deque

from deis_platform.embedded.errors import ServerFailed

QUIET = range(29_600, 32_768)
"""Above the ports of instances, below those that the system gives to connections: a port from
here is still free when its server comes to listen, some time after it was chosen."""
TRIES = 100
CLAIMS = 64
"""Of so many chosen ports we remember that they are ours, until their servers listen."""
_claims: deque[int] = deque()
"""Descriptors that hold them."""


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody has right now, and that no other process was given by this function."""
    for port in random.sample(QUIET, TRIES):
        try:
            check_free(host, port, "")
        except ServerFailed:
            continue
        if _claimed(port):
            return port
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def same_or_free(port: int, host: str = "127.0.0.1") -> int:
    """The port if nobody has it, else another that nobody has."""
    try:
        check_free(host, port, "")
    except ServerFailed:
        return free_port(host)
    return port


def check_free(host: str, port: int, setting: str) -> None:
    """Raises ServerFailed, naming the setting, when the address cannot be listened on.

    A connection of an earlier run that is still closing does not count.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except PermissionError:
            raise ServerFailed(f"port {port} may not be used by this user: {setting}") from None
        except OSError as fault:
            taken = fault.errno == errno.EADDRINUSE
            what = "is taken" if taken else f"cannot be used ({os.strerror(fault.errno or 0)})"
            raise ServerFailed(f"port {port} on {host} {what}: choose another, {setting}") from None


def claim(name: str) -> socket.socket | None:
    """A name that the kernel gives to one process at a time and frees however that one ends.

    It is ours while the socket is open; None where another has it, or off Linux.
    """
    held = socket.socket(socket.AF_UNIX)
    try:
        held.bind(f"\0{name}")
    except OSError:
        held.close()
        return None
    return held


def _claimed(port: int) -> bool:
    """Take a name of the port that only one process can have; False where another one has it."""
    if sys.platform != "linux":
        return True
    held = claim(f"deis-port-{port}")
    if held is None:
        return False
    _claims.append(held.detach())
    if len(_claims) > CLAIMS:
        os.close(_claims.popleft())
    return True
