"""Time stamps and identifiers as the bus writes them."""

import datetime
import secrets
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


def new_trace() -> str:
    """The beginning of a trace, as a `traceparent` (W3C trace context)."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
