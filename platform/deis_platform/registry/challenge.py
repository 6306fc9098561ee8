"""`WWW-Authenticate`: how a registry wants to be asked (RFC 9110 11.6.1). Pure."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - the RFC's word for a word
_PARAMETER = re.compile(rf'[\s,]*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})")


class Challenge(NamedTuple):
    """One way to say who one is."""

    scheme: str
    """In lower case."""
    parameters: dict[str, str]


def chosen(headers: Iterable[str]) -> Challenge | None:
    """The way to go: a token where there is a realm to give one, else a password; else None."""
    found = [challenge for header in headers for challenge in parse(header)]
    for challenge in found:
        if challenge.scheme == "bearer" and challenge.parameters.get("realm"):
            return challenge
    return next((challenge for challenge in found if challenge.scheme == "basic"), None)


def parse(header: str) -> list[Challenge]:
    """All challenges of a header up to the first thing that is none."""
    found: list[Challenge] = []
    for name, value in _words(header):
        if value is None:
            found.append(Challenge(name.lower(), {}))
        elif found:
            found[-1].parameters.setdefault(name.lower(), value)
    return found


def _words(header: str) -> Iterator[tuple[str, str | None]]:
    """Schemes with None, parameters with their values."""
    place = 0
    while True:
        if match := _PARAMETER.match(header, place):
            quoted = match[2]
            yield match[1], match[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        elif match := _SCHEME.match(header, place):
            yield match[1], None
        else:
            return
        place = match.end()
