"""What the API server answers, mapped once: Transient (try again), Refused (it will not help)."""

import msgspec

from deis_bus.errors import Refused, Transient

MAX_WORDS = 500


class NotFound(Refused):
    """There is no such object."""


class Conflict(Refused):
    """Somebody changed the object meanwhile, or it exists already (kind `exists`)."""


class Forbidden(Refused):
    """We may not; kind `quota` where a quota is used up, `terminating` in a dying namespace."""


class Gone(Refused):
    """The version to go on from is too old: list again."""


class Status(msgspec.Struct, frozen=True):
    """The answer's own words."""

    message: str = ""
    reason: str = ""


_decode = msgspec.json.Decoder(Status).decode


def fault_of(status: int, body: bytes) -> Refused | Transient:
    """What to raise for an answer that is no success."""
    told = _told(body)
    words = (told.message or f"the API server answered {status}")[:MAX_WORDS]
    if status == 404:
        return NotFound(404, words, "absent")
    if status == 409:
        return Conflict(409, words, "exists" if told.reason == "AlreadyExists" else "conflict")
    if status == 410 or told.reason == "Expired":
        return Gone(410, words, "gone")
    if status == 403:
        return Forbidden(403, words, _why(words))
    if status in (401, 429) or status >= 500:
        # 401: the token is being changed, or the account not known yet; it is read again.
        return Transient(f"the API server answered {status}: {words}")
    return Refused(status, words, "invalid" if status == 422 else "")


def _why(words: str) -> str:
    if "exceeded quota" in words or "failed quota" in words:
        return "quota"
    return "terminating" if "is being terminated" in words else "forbidden"


def _told(body: bytes) -> Status:
    try:
        return _decode(body)
    except msgspec.MsgspecError:
        return Status()
