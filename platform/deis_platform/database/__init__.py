"""PostgreSQL: a pool, transactions, and faults that say what to do.

    async with open_database(settings.database) as db:
        async with db.transaction() as tx:
            row = await tx.fetchrow("SELECT … WHERE id = $1", name)

Nothing connects before it is needed, so a database that is away at the start is like one that
goes away later: calls raise Transient until it is back.
"""

from deis_platform.database.dedicated import Dedicated
from deis_platform.database.faults import CommitUnknown, Conflict
from deis_platform.database.pool import Database, Row, Transaction, open_database
from deis_platform.database.queries import load_queries

__all__ = [
    "CommitUnknown",
    "Conflict",
    "Database",
    "Dedicated",
    "Row",
    "Transaction",
    "load_queries",
    "open_database",
]
