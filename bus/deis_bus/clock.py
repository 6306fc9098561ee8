"""Time stamps and identifiers as the bus writes them."""

import datetime
import uuid


def timestamp() -> str:
    """Now, RFC 3339, UTC, with microseconds."""
    return (
        datetime.datetime.now(datetime.UTC)
        .isoformat(timespec="microseconds")
        .replace("+00:00", "Z")
    )


def new_id() -> str:
    """A new random identity."""
    return str(uuid.uuid4())
