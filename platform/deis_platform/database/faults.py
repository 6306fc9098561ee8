"""What the driver raises, mapped once: Transient (try again), Conflict (a rule of the schema)."""

from contextlib import suppress
from typing import Any

import asyncpg
from asyncpg import exceptions as pg

from deis_bus.errors import Transient


class Conflict(Exception):
    """A row like that exists already; `constraint` names the unique constraint."""

    def __init__(self, constraint: str) -> None:
        super().__init__(f"conflict on {constraint}")
        self.constraint = constraint


class CommitUnknown(Transient):
    """The connection was lost during COMMIT: look up the request's id before trying again."""


_AWAY = (
    OSError,
    TimeoutError,
    pg.PostgresConnectionError,
    pg.OperatorInterventionError,
    pg.InsufficientResourcesError,
    pg.TransactionRollbackError,
    pg.LockNotAvailableError,
    pg.IdleInTransactionSessionTimeoutError,
    pg.ReadOnlySQLTransactionError,
    pg.InvalidCachedStatementError,
    pg.PostgresSystemError,
)
_AWAY_AT_CONNECT = (*_AWAY, pg.InvalidAuthorizationSpecificationError, pg.InvalidCatalogNameError)
FAULTS = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


def mapped(fault: Exception, *, closed: bool = False) -> Exception:
    """What to raise instead of a driver's exception; `closed`: the connection is gone."""
    if isinstance(fault, pg.UniqueViolationError):
        return Conflict(fault.constraint_name or "")
    if isinstance(fault, asyncpg.InternalClientError):
        # Between the server's last word and the end of the connection the driver is confused.
        return Transient("the database connection is breaking")
    if isinstance(fault, _AWAY) or (closed and isinstance(fault, asyncpg.InterfaceError)):
        return Transient(f"the database is away: {_short(fault)}")
    return fault


def at_connect(fault: Exception) -> Exception:
    """The same, where a connection was to be made: a refusal may end when somebody mends it."""
    driver = (asyncpg.InterfaceError, asyncpg.InternalClientError)
    if isinstance(fault, (*_AWAY_AT_CONNECT, *driver)):
        return Transient(f"the database cannot be reached: {_short(fault)}")
    return fault


def at_commit(fault: Exception, *, closed: bool) -> Exception:
    """The same, for COMMIT: where the server did not say no, nobody knows."""
    said_no = isinstance(fault, asyncpg.PostgresError) and not isinstance(
        fault, pg.PostgresConnectionError | pg.OperatorInterventionError
    )
    if said_no:
        return mapped(fault, closed=closed)
    return CommitUnknown(f"the database went away during a commit: {_short(fault)}")


def is_closed(connection: Any) -> bool:
    """Whether a connection is gone; a pooled one that was cut refuses even the question."""
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True


def cut(connection: Any) -> None:
    """End a connection without a word to the server; nothing if it is gone already."""
    with suppress(asyncpg.InterfaceError):
        connection.terminate()


def _short(fault: Exception) -> str:
    """The first line: what follows may show values of rows."""
    return (str(fault) or type(fault).__name__).splitlines()[0]
