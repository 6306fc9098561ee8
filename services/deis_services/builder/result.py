"""What a build says of itself when it is done, checked: it is written by what users run (pure)."""

import re

import msgspec

MAX_RESULT = 512 * 1024
MAX_STAGES = 32
MAX_PROCFILE = 64 * 1024
"""As long as a Procfile may be."""
_TYPE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_STAGE = re.compile(r"[a-z][a-z -]{0,31}")


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
    if not all(map(_STAGE.fullmatch, result.stages)):
        raise Unusable("its stages have no names")
    if not _is_procfile(result.procfile):
        raise Unusable("its process types are not those of a Procfile")
    return result


def _is_procfile(types: dict[str, str]) -> bool:
    """Whether a Procfile can say that: the slugbuilder's own check may have been gone round."""
    return sum(map(len, (*types, *types.values()))) <= MAX_PROCFILE and all(
        len(name) <= 63 and _TYPE.fullmatch(name) and command.strip() and "\0" not in command
        for name, command in types.items()
    )


def words(seconds: float) -> str:
    """A time limit for people: `15 min`, `90 s`."""
    whole = seconds % 60 == 0 and seconds >= 60
    return f"{seconds / 60:g} min" if whole else f"{seconds:g} s"
