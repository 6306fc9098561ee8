"""What the API server answers, mapped once: Transient (try again), Refused (it will not help)."""

import msgspec

from deis_bus.errors import Refused, Transient

MAX_WORDS = 500
BUSY_SECONDS = 1.0
"""A pause where the API server named none that can be read."""
_LATER = frozenset({401, 408, 429})
_MOVED_ON = frozenset({410, 504})


class NotFound(Refused):
    """There is no such object."""


class Conflict(Refused):
    """Kind `exists`: it is there already; `owned`: another manager holds the fields (only without
    force); `conflict`: somebody changed the object meanwhile."""


class Forbidden(Refused):
    """We may not; kind `quota` where a quota is used up, `terminating` in a dying namespace."""


class Gone(Refused):
    """The version to go on from is too old: list again."""


class Unauthorized(Transient):
    """The token is no longer, or not yet, good: it is read again."""


class Busy(Transient):
    """The API server names a time after which to come again."""

    def __init__(self, words: str, status: int, seconds: float) -> None:
        super().__init__(words)
        self.status = status
        self.seconds = seconds


class Cause(msgspec.Struct, frozen=True):
    """One of several reasons."""

    reason: str = ""


class Details(msgspec.Struct, frozen=True):
    """More about a refusal."""

    causes: tuple[Cause, ...] = ()


class Status(msgspec.Struct, frozen=True):
    """The answer's own words."""

    message: str = ""
    reason: str = ""
    code: int = 500
    details: Details = Details()


_decode = msgspec.json.Decoder(Status).decode


def fault_of(status: int, body: bytes, retry_after: str | None = None) -> Refused | Transient:
    """What to raise for an answer that is no success; `retry_after` is that header of it."""
    told = _told(body)
    words = (told.message or f"the API server answered {status}")[:MAX_WORDS]
    if status in _LATER or (status >= 500 and not _too_new(status, words)):
        return _later(status, words, retry_after)
    if status == 404:
        return NotFound(404, words, "absent")
    if status == 409:
        return Conflict(409, words, _clash(told))
    if status in _MOVED_ON or told.reason == "Expired":
        return Gone(410, words, "gone")
    if status == 403:
        return Forbidden(403, words, _why(words))
    return Refused(status, words, "invalid" if status == 422 else "")


def fault_within(body: bytes) -> Refused | Transient:
    """What to raise for an ERROR line of a watch, whose HTTP status was 200."""
    return fault_of(_told(body).code, body)


def _later(status: int, words: str, retry_after: str | None) -> Transient:
    text = f"the API server answered {status}: {words}"
    if status == 401:
        return Unauthorized(text)
    return Transient(text) if retry_after is None else Busy(text, status, _seconds(retry_after))


def _seconds(retry_after: str) -> float:
    """The header as seconds; dates, which the API server does not send, count as unreadable."""
    named = retry_after.isascii() and retry_after.isdigit()
    return float(retry_after[:9]) if named else BUSY_SECONDS


def _too_new(status: int, words: str) -> bool:
    """A version that this API server will not reach: its store was put back to an older state."""
    return status == 504 and "Too large resource version" in words


def _clash(told: Status) -> str:
    if told.reason == "AlreadyExists":
        return "exists"
    owned = any(cause.reason == "FieldManagerConflict" for cause in told.details.causes)
    return "owned" if owned else "conflict"


def _why(words: str) -> str:
    if "exceeded quota" in words or "failed quota" in words:
        return "quota"
    return "terminating" if "being terminated" in words else "forbidden"


def _told(body: bytes) -> Status:
    try:
        return _decode(body)
    except msgspec.MsgspecError:
        return Status()
