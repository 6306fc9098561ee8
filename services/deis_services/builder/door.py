"""One SSH connection: who may come in, and what may be opened on it (components.md 2.3)."""

from collections.abc import Callable

import asyncssh
import structlog

from deis_bus.contracts.push import KEY_LOOKUP, KeyLookup
from deis_bus.errors import BusError, Transient
from deis_bus.ports import Bus
from deis_bus.rpc import call
from deis_services.builder import render
from deis_services.builder.session import GitSession

log = structlog.get_logger(__name__)

KEY_SECONDS = 10.0
KEYS = 40
"""So many times a connection may show a key; each counts twice, before and with its signature."""
CHANNELS = 4
"""Sessions that one connection may have open."""
SHARE = 4
"""No user may have more than this part of all connections, so that others find room."""


class Connections:
    """Those that are open now, at most `limit`."""

    def __init__(self, bus: Bus, limit: int, start: Callable[[GitSession], None]) -> None:
        self.bus = bus
        self.start = start
        """Serves a session that began."""
        self.open: set[asyncssh.SSHServerConnection] = set()
        self._limit = limit
        self._knocking: dict[asyncssh.SSHServerConnection, None] = {}
        """Those that have not shown a key yet, the oldest first."""
        self._inside: dict[asyncssh.SSHServerConnection, str] = {}
        """The others, and whose they are."""

    def admit(self, connection: asyncssh.SSHServerConnection) -> bool:
        """Whether there is room. Who only knocks gives way, so that nobody can keep others out."""
        if len(self.open) >= self._limit:
            oldest = next(iter(self._knocking), None)
            log.warning("too many connections", connections=len(self.open))
            if oldest is None:
                return False
            self.left(oldest)
            oldest.abort()
        self.open.add(connection)
        self._knocking[connection] = None
        return True

    def known(self, connection: asyncssh.SSHServerConnection, username: str) -> bool:
        """It has shown a key; whether that user may have one more."""
        if list(self._inside.values()).count(username) >= max(1, self._limit // SHARE):
            log.warning("too many connections", user=username)
            return False
        if connection in self._knocking:  # it may be gone by now
            del self._knocking[connection]
            self._inside[connection] = username
        return True

    def left(self, connection: asyncssh.SSHServerConnection) -> None:
        """It is gone."""
        self.open.discard(connection)
        self._knocking.pop(connection, None)
        self._inside.pop(connection, None)


class Door(asyncssh.SSHServer):
    """One connection: lets in whoever shows a key that the platform knows."""

    def __init__(self, connections: Connections) -> None:
        self._all = connections
        self._connection: asyncssh.SSHServerConnection | None = None
        self._fingerprint = ""
        self._username = ""
        self._sessions: list[GitSession] = []
        self._keys = 0

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Somebody knocks."""
        self._connection = conn
        if not self._all.admit(conn):
            conn.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone."""
        if self._connection is not None:
            self._all.left(self._connection)

    def auth_completed(self) -> None:
        """It showed a key that the platform knows."""
        if self._connection is not None and not self._all.known(self._connection, self._username):
            self._connection.abort()

    def begin_auth(self, username: str) -> bool:
        """Always: the user's name says nothing, the key does."""
        return True

    def public_key_auth_supported(self) -> bool:
        """The only way in."""
        return True

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Whether the platform knows the key; asked before and with the signature."""
        self._fingerprint = ""
        self._keys += 1
        if self._keys > KEYS:
            return False
        fingerprint = key.get_fingerprint("md5").removeprefix("MD5:").lower()
        try:
            found = await call(
                self._all.bus, KEY_LOOKUP, KeyLookup(fingerprint), seconds=KEY_SECONDS
            )
        except Transient:
            if self._connection is not None:
                self._connection.send_auth_banner(f"{render.AWAY}\r\n")
            return False
        except BusError:
            return False
        self._fingerprint, self._username = fingerprint, found.username
        return True

    def session_requested(self) -> GitSession | bool:
        """A channel for one command."""
        self._sessions = [session for session in self._sessions if not session.gone.is_set()]
        if len(self._sessions) >= CHANNELS or not self._fingerprint:
            return False
        session = GitSession(self._all.start, self._fingerprint)
        self._sessions.append(session)
        return session
