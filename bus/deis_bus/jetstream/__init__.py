"""The ports on NATS JetStream; the only package that imports nats."""

from deis_bus.jetstream.bus import JetStreamBus, connect

__all__ = ["JetStreamBus", "connect"]
