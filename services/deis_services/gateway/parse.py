"""Which endpoint a method and a path mean (api.md 1.1, 1.2); pure, made from the table."""

import re
from collections.abc import Iterable

import msgspec

from deis_bus.api.table import ENDPOINTS, PARAMETERS, Endpoint

_GREEDY = ("key", "fingerprint")
"""Parameters that swallow a slash at the end too (api.md 1.1)."""


class Found(msgspec.Struct, frozen=True):
    """An endpoint and the values of its path's parameters."""

    endpoint: Endpoint
    path: dict[str, str]
    allow: str
    """Methods that the path offers, for `Allow`."""


class _Route(msgspec.Struct, frozen=True):
    pattern: re.Pattern[str]
    methods: dict[str, Endpoint]


class Routes:
    """The table as something to look paths up in."""

    def __init__(self, endpoints: Iterable[Endpoint] = ENDPOINTS) -> None:
        by_path: dict[str, dict[str, Endpoint]] = {}
        for endpoint in endpoints:
            by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint
        self._by_noun: dict[str, list[_Route]] = {}
        for path, methods in by_path.items():
            self._by_noun.setdefault(_noun(path), []).append(_Route(_compiled(path), methods))

    def find(self, method: str, path: str) -> Found | str | None:
        """The endpoint; the offered methods where this one is not; None for an unknown path."""
        asked = "GET" if method == "HEAD" else method
        found: tuple[Endpoint, dict[str, str]] | None = None
        offered: set[str] = set()
        for route in self._by_noun.get(_noun(path), ()):
            match = route.pattern.fullmatch(path)
            if match is None:
                continue
            offered.update(route.methods)
            if found is None and asked in route.methods:
                found = route.methods[asked], match.groupdict()
        if found is not None:
            return Found(*found, _allow(offered))
        return _allow(offered) if offered else None


def _noun(path: str) -> str:
    return path.split("/", 3)[2] if path.count("/") > 1 else ""


def _allow(methods: Iterable[str]) -> str:
    given = sorted(methods)
    return ", ".join([*given, *(["HEAD"] if "GET" in given else []), "OPTIONS"])


def _compiled(path: str) -> re.Pattern[str]:
    pieces = re.split(r"\{(\w+)\}", path.rstrip("/"))
    text = "".join(
        f"(?P<{piece}>{PARAMETERS[piece]})" if number % 2 else re.escape(piece)
        for number, piece in enumerate(pieces)
    )
    greedy = len(pieces) > 1 and pieces[-2] in _GREEDY and not pieces[-1]
    return re.compile(text if greedy else text + "/?")
