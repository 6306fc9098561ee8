"""The pool and its transactions (dependencies.md 3): no reset, and a fair queue before it."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg

from deis_bus.errors import Transient
from deis_platform.database.dedicated import Dedicated, dedicated
from deis_platform.database.faults import FAULTS, at_commit, at_connect, cut, is_closed, mapped
from deis_platform.groups import DatabaseSettings
from deis_platform.logs import get_logger

log = get_logger(__name__)

CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 2.0
MARGIN_SECONDS = 2.0
"""How much later than the server itself we give up a statement: then the server hangs."""
_LOOPBACK = ("", "localhost", "127.0.0.1", "::1")
Row = asyncpg.Record


class Transaction:
    """Statements of one transaction. Parameters are `$1`, `$2`, …

    Every call may raise Transient or Conflict; after either, the transaction is over.
    """

    def __init__(self, connection: Any, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds

    async def fetch(self, query: str, *args: object) -> list[Any]:
        """All rows; columns by name: `row["id"]`."""
        rows: list[Any] = await self._do(self._connection.fetch(query, *args))
        return rows

    async def fetchrow(self, query: str, *args: object) -> Any:
        """The first row, or None."""
        return await self._do(self._connection.fetchrow(query, *args))

    async def fetchval(self, query: str, *args: object) -> Any:
        """The first column of the first row, or None."""
        return await self._do(self._connection.fetchval(query, *args))

    async def execute(self, query: str, *args: object) -> int:
        """Run a statement (without arguments: several); gives how many rows it touched."""
        status: str = await self._do(self._connection.execute(query, *args))
        last = status.rsplit(" ", 1)[-1]
        return int(last) if last.isdigit() else 0

    async def _do(self, statement: Any) -> Any:
        try:
            return await self._watched(statement)
        except FAULTS as fault:
            self._raise(mapped(fault, closed=is_closed(self._connection)), fault)

    async def _watched(self, statement: Any) -> Any:
        # A hung server answers no cancel request either, so the connection is cut.
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._seconds + MARGIN_SECONDS, cut, self._connection)
        try:
            return await statement
        finally:
            timer.cancel()

    @staticmethod
    def _raise(instead: Exception, fault: Exception) -> None:
        if instead is fault:
            raise fault
        raise instead from None  # the driver's texts show values of rows

    async def _begin(self) -> None:
        await self._do(self._connection.execute("BEGIN"))

    async def _commit(self) -> None:
        try:
            status = await self._watched(self._connection.execute("COMMIT"))
        except FAULTS as fault:
            self._raise(at_commit(fault, closed=is_closed(self._connection)), fault)
        else:
            if status != "COMMIT":
                # A fault inside was caught and forgotten: nothing of it was kept.
                raise RuntimeError(f"the transaction had failed before its end: {status}")

    async def _roll_back(self) -> None:
        if not is_closed(self._connection):
            await self._do(self._connection.execute("ROLLBACK"))


class Database:
    """Made by `open_database`."""

    def __init__(self, settings: DatabaseSettings, pool: Any) -> None:
        self._settings = settings
        self._pool = pool
        # The pool itself serves the newest waiter first: under load some would starve.
        self._turn = asyncio.Semaphore(settings.connections)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """A transaction: committed at the end, rolled back when the block raises.

        Raises Transient when the database is away, CommitUnknown when it went away during the
        commit.
        """
        async with self._connection() as tx:
            await tx._begin()
            try:
                yield tx
            except Exception:
                await tx._roll_back()
                raise
            await tx._commit()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Transaction]:
        """Statements without a common transaction: cheaper by two round trips.

        Each sees the newest committed rows; for reads that need no single moment.
        """
        async with self._connection() as tx:
            yield tx

    def dedicated(self, seconds: float | None = None) -> AbstractAsyncContextManager[Dedicated]:
        """A connection of its own, not of the pool, for advisory locks and LISTEN.

        `seconds` limits each statement (the settings' limit where it is None; 0: no limit).
        """
        limit = self._settings.statement_seconds if seconds is None else seconds
        return dedicated(options(self._settings, limit), limit)

    async def ready(self) -> bool:
        """Whether the database answers right now (bounded by a second)."""
        try:
            async with asyncio.timeout(1.0), self.reading() as tx:
                return bool(await tx.fetchval("SELECT true"))
        except (Transient, TimeoutError):
            return False

    async def close(self) -> None:
        """Close what is idle; cut what is not after two seconds."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._pool.close()
        except (TimeoutError, *FAULTS):
            self._pool.terminate()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Transaction]:
        try:
            async with asyncio.timeout(self._settings.statement_seconds):
                await self._turn.acquire()
        except TimeoutError:
            raise Transient("the database is busy") from None
        try:
            connection = await self._connect()
            try:
                yield Transaction(connection, self._settings.statement_seconds)
            except BaseException as fault:
                # Rolled back already or not: nobody can know after a cancel or a fault of it.
                breaking = isinstance(fault, Transient)
                if not is_closed(connection) and (breaking or connection.is_in_transaction()):
                    cut(connection)
                raise
            finally:
                await self._release(connection)
        finally:
            self._turn.release()

    async def _release(self, connection: Any) -> None:
        try:
            await self._pool.release(connection)
        except FAULTS as fault:
            # It broke as it was given back; the pool has made room for another one.
            log.info("a database connection broke", fault=type(fault).__name__)

    async def _connect(self) -> Any:
        try:
            return await self._pool.acquire()
        except FAULTS as fault:
            instead = at_connect(fault)
            if instead is fault:
                raise
            raise instead from None


@asynccontextmanager
async def open_database(settings: DatabaseSettings) -> AsyncIterator[Database]:
    """The database while the context lasts; connects when it is first asked."""
    pool = await asyncpg.create_pool(
        min_size=0,
        max_size=settings.connections,
        max_inactive_connection_lifetime=300.0,
        reset=_no_reset,
        **options(settings, settings.statement_seconds),
    )
    database = Database(settings, pool)
    try:
        yield database
    finally:
        await database.close()


def options(settings: DatabaseSettings, statement_seconds: float) -> dict[str, Any]:
    """How to connect: the password is read anew each time; TLS unless the host is this one.

    With a file of certificates the server's is checked, name and all. Raises OSError without it.
    """
    url = urlsplit(settings.url)
    query = parse_qs(url.query)
    host = (query.get("host") or [url.hostname or ""])[0]
    chosen: dict[str, Any] = {
        "dsn": settings.url,
        "timeout": CONNECT_SECONDS,
        "server_settings": {
            "application_name": "deis",
            "statement_timeout": str(int(statement_seconds * 1000)),
            "idle_in_transaction_session_timeout": "60000",
            "tcp_keepalives_idle": "10",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
            "jit": "off",
        },
    }
    if settings.password_file:
        path = Path(settings.password_file)
        chosen["password"] = lambda: path.read_text(encoding="utf-8").strip()
    if settings.ca_file:
        chosen["ssl"] = ssl.create_default_context(cafile=settings.ca_file)
    elif "sslmode" not in query:
        chosen["ssl"] = False if host in _LOOPBACK or host.startswith("/") else "require"
    return chosen


async def _no_reset(_connection: object) -> None:
    """Sessions keep no state: no SET, no advisory lock, no LISTEN on a pooled connection."""
