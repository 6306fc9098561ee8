"""Dead letters: what a buried message carries beside what it had (pure).

The copy keeps the headers it came with; those of its burial begin with `deis-dead-`.
"""

from collections.abc import Mapping

import msgspec

from deis_bus.clock import timestamp
from deis_bus.envelope import Envelope, from_headers
from deis_bus.ports import Message, Received
from deis_bus.streams import Durable

MESSAGE_ID = "Nats-Msg-Id"
SUBJECT = "deis-dead-subject"
STREAM = "deis-dead-stream"
SEQUENCE = "deis-dead-sequence"
DURABLE = "deis-dead-durable"
ATTEMPT = "deis-dead-attempt"
REASON = "deis-dead-reason"
TIME = "deis-dead-time"
MAX_REASON = 500

_SERVER = ("nats-", "status", "description")
"""What the server itself put there must not travel to another stream."""


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A buried message as `dead list` shows it."""

    sequence: int
    """Its number in DEAD: what `dead retry` takes."""
    subject: str
    """Where it was published."""
    type: str
    app: str
    durable: str
    attempt: int
    reason: str
    time: str
    """When it was buried."""


def dead_headers(message: Message, durable: Durable, reason: str) -> dict[str, str]:
    """Headers of the copy. Its message id makes a second burial of the same delivery a double."""
    words = " ".join(reason.split())[:MAX_REASON]
    return original_headers(message.headers) | {
        MESSAGE_ID: f"dead-{durable.stream}-{durable.name}-{message.sequence}",
        SUBJECT: message.subject,
        STREAM: durable.stream,
        SEQUENCE: str(message.sequence),
        DURABLE: durable.name,
        ATTEMPT: str(message.attempt),
        REASON: words or "no reason given",
        TIME: timestamp(),
    }


def original_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers it was published with, without the server's and the burial's."""
    return {
        name: value
        for name, value in headers.items()
        if not name.lower().startswith(_SERVER) and not name.startswith("deis-dead-")
    }


def letter(received: Received) -> Letter:
    """The letter of a message of DEAD; what its headers do not tell is empty."""
    headers = received.headers
    envelope = _envelope(headers)
    return Letter(
        sequence=received.sequence,
        subject=headers.get(SUBJECT, "deis." + received.subject.removeprefix("deis.dead.")),
        type=envelope.type if envelope else "",
        app=envelope.subject if envelope else "",
        durable=headers.get(DURABLE, ""),
        attempt=int(headers.get(ATTEMPT, "0")) if headers.get(ATTEMPT, "0").isdigit() else 0,
        reason=headers.get(REASON, ""),
        time=headers.get(TIME, ""),
    )


def _envelope(headers: Mapping[str, str]) -> Envelope | None:
    try:
        return from_headers(headers)
    except ValueError:
        return None
