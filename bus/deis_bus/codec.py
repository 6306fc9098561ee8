"""Bytes to event and back: unknown fields pass, unknown types do not."""

import msgspec

from deis_bus.errors import Undecodable
from deis_bus.events import REGISTRY, Event

_encoder = msgspec.json.Encoder()
_decoders = {name: msgspec.json.Decoder(kind) for name, kind in REGISTRY.items()}


def encode(event: msgspec.Struct) -> bytes:
    """The JSON of an event or of a request."""
    return _encoder.encode(event)


def known(kind: str) -> bool:
    """Whether this version of the platform knows the event type."""
    return kind in _decoders


def decode(kind: str, data: bytes) -> Event:
    """The event of a type name and its JSON; raises Undecodable where either is wrong."""
    decoder = _decoders.get(kind)
    if decoder is None:
        raise Undecodable(f"unknown event type {kind!r}")
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError) as fault:
        raise Undecodable(f"{kind}: {fault}") from fault
