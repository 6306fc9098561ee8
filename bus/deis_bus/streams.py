"""Streams, durable consumers and buckets as data; the adapters make them so."""

import msgspec

from deis_bus import subjects

DAY = 86_400.0
MB = 1024 * 1024


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """A stored stream: what it takes in and how much it keeps."""

    name: str
    subjects: tuple[str, ...]
    max_age_seconds: float
    max_bytes: int
    until_acked: bool = False
    """Work-queue retention: a message goes once its one consumer acked it."""
    duplicate_window_seconds: float = 120.0


class Durable(msgspec.Struct, frozen=True, kw_only=True):
    """A durable pull consumer. Named after its service, so that replicas share the work."""

    name: str
    stream: str
    filters: tuple[str, ...]
    ack_wait_seconds: float = 30.0
    max_in_flight: int = 256
    new_only: bool = False
    """Starts at the end of the stream when it is made, not at its beginning."""
    start: int = 0
    """Sequence to start at when it is made; 0 or 1 is the beginning."""


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """A key-value bucket; `ttl_seconds` 0 keeps keys until they are deleted."""

    name: str
    ttl_seconds: float = 0.0


EVENTS = Stream(
    name="EVENTS", subjects=(subjects.EVENTS,), max_age_seconds=30 * DAY, max_bytes=2048 * MB
)
REPORTS = Stream(
    name="REPORTS",
    subjects=(subjects.REPORTS,),
    max_age_seconds=7 * DAY,
    max_bytes=256 * MB,
    until_acked=True,
)
BUILDLOGS = Stream(
    name="BUILDLOGS", subjects=(subjects.BUILDLOGS,), max_age_seconds=7 * DAY, max_bytes=1024 * MB
)
DEAD = Stream(name="DEAD", subjects=(subjects.DEAD,), max_age_seconds=30 * DAY, max_bytes=256 * MB)
STREAMS = (EVENTS, REPORTS, BUILDLOGS, DEAD)

ROUTES = Bucket(name="routes")
"""`app.<name>` = AppRoute by the controller, `up.<name>` = Upstreams by the runtime (routes.py)."""
ROUTERS = Bucket(name="routers", ttl_seconds=10.0)
"""`<router id>` = the revision of ROUTES that router has applied; live ones renew it."""
BUCKETS = (ROUTES, ROUTERS)
