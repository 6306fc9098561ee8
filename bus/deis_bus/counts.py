"""What went wrong on a bus, as plain numbers; the floor exports them as metrics."""

import msgspec


class Counts(msgspec.Struct):
    """Counters of one bus, from 0 when the process starts. They only grow."""

    disconnects: int = 0
    reconnects: int = 0
    errors: int = 0
    """Errors the client told of beside any call: refused rights, bad frames, failed connects."""
    slow_consumers: int = 0
    """Core messages dropped because their reader was too slow."""
    buried: int = 0
    unknown: int = 0
    """Messages left alone because this version does not know their type."""
    retried: int = 0
    """Messages given back after an unexpected fault."""
    paused: int = 0
    """How often a consumer stood still because a dependency was away."""
