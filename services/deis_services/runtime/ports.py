"""A port of its own for each instance, out of the range that the router knows (DESIGN 7)."""

import socket
from collections.abc import Callable

HOST = "127.0.0.1"


class NoPort(Exception):
    """Every port of the range is in use."""


class PortPool:
    """Hands ports out in turn. A port that was given back goes to the same application at once,
    to another only when `dropped(revision)` says that no live router knows it any more.
    """

    def __init__(self, ports: range, dropped: Callable[[int], bool]) -> None:
        self._ports = ports
        self._dropped = dropped
        self._next = 0
        self._taken: set[int] = set()
        self._cooling: dict[int, tuple[str, int]] = {}

    def take(self, appuuid: str) -> int:
        """A port that nobody listens on; raises NoPort."""
        for step in range(len(self._ports)):
            place = (self._next + step) % len(self._ports)
            port = self._ports[place]
            if self._may(port, appuuid) and is_free(port):
                self._next = place + 1
                self._taken.add(port)
                self._cooling.pop(port, None)
                return port
        raise NoPort(
            f"no port from {self._ports[0]} to {self._ports[-1]} is free: DEIS_RUNTIME_PORTS"
        )

    def give_back(self, port: int, appuuid: str, revision: int) -> None:
        """Its instance is gone, and out of the route table since that revision (0: never in it)."""
        self._taken.discard(port)
        self._cooling[port] = (appuuid, revision)

    def _may(self, port: int, appuuid: str) -> bool:
        if port in self._taken:
            return False
        owner, revision = self._cooling.get(port, (appuuid, 0))
        return owner == appuuid or self._dropped(revision)


def is_free(port: int) -> bool:
    """Whether one can listen there now; connections that are still closing do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True
