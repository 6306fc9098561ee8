"""What a build says of itself when it is done, checked: it is written by what users run (pure)."""

import msgspec

MAX_RESULT = 512 * 1024
MAX_STAGES = 32


class Unusable(Exception):
    """The result is not what a slugbuilder writes."""


class SlugResult(msgspec.Struct, frozen=True):
    """`<slug>.json`: process types, and seconds per stage."""

    procfile: dict[str, str] = {}
    slug_bytes: int = 0
    buildpack: str = ""
    stages: dict[str, float] = {}


def read_result(data: bytes) -> SlugResult:
    """The result of its JSON. Raises Unusable."""
    try:
        result = msgspec.json.decode(data, type=SlugResult)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as fault:
        raise Unusable(str(fault)) from fault
    if len(result.stages) > MAX_STAGES or any(not 0 <= s < 1e6 for s in result.stages.values()):
        raise Unusable("its stages are not seconds")
    return result


def words(seconds: float) -> str:
    """A time limit for people: `15 min`, `90 s`."""
    whole = seconds % 60 == 0 and seconds >= 60
    return f"{seconds / 60:g} min" if whole else f"{seconds:g} s"
