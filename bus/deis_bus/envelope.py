"""The CloudEvents 1.0 envelope, carried on NATS headers in binary mode (DESIGN 4)."""

from collections.abc import Mapping

import msgspec

SPEC_VERSION = "1.0"


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """Who says what about whom; the payload itself is the event's JSON."""

    id: str
    """Unique; also the `Nats-Msg-Id`, so a repeated publish is stored once."""
    type: str
    """`release.created` and so on: a name of the registry."""
    source: str
    """The service that publishes, e.g. `controller`."""
    time: str
    """RFC 3339, UTC, with microseconds."""
    subject: str = ""
    """The application's name, or `_` for the platform."""
    appuuid: str = ""
    """The application's identity: names come back under new owners, this does not."""
    actor: str = ""
    """The user name that caused it; empty for the platform itself."""
    schemaversion: int = 1
    traceparent: str = ""
    correlationid: str = ""
    causationid: str = ""


def to_headers(envelope: Envelope) -> dict[str, str]:
    """Headers of a message; empty fields are left out."""
    headers = {"ce-specversion": SPEC_VERSION, "content-type": "application/json"}
    for name in Envelope.__struct_fields__:
        value = str(getattr(envelope, name))
        if value:
            headers["traceparent" if name == "traceparent" else f"ce-{name}"] = value
    return headers


def from_headers(headers: Mapping[str, str]) -> Envelope:
    """The envelope of received headers; unknown ones are ignored.

    Raises ValueError when a required field is missing or the version is no number.
    """
    values: dict[str, str] = {}
    for name in Envelope.__struct_fields__:
        value = headers.get("traceparent" if name == "traceparent" else f"ce-{name}")
        if value is not None:
            values[name] = value
    missing = [name for name in ("id", "type", "source", "time") if name not in values]
    if missing:
        raise ValueError(f"envelope without {', '.join(missing)}")
    try:
        return msgspec.convert(values, Envelope, strict=False)
    except msgspec.ValidationError as fault:
        raise ValueError(str(fault)) from fault
