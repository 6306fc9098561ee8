"""How hosts are written into nginx' shared memory. Pure; `templates/router.js` reads it.

A host has BUCKETS values, spread over its instances. A value is `FLAGS[:APP:]TARGETS`:

    flags    g   some paths belong to another application: look into `graft:HOST` first
             n   not over TLS (a custom name without a certificate)
             w   writes may be retried and use kept connections
             e   plain HTTP is sent to HTTPS
             a   only addresses of the list `allow:APP` may come in
             p3  served by the location of profile 3
    targets  of the pool (pools.py), with blanks between several; M maintenance, U nothing is up,
             G the API

`nw20017` and `nw:blog:17,ID,10.0.0.5:5000` are decided by nginx' own maps alone; other flags, and
more instances than buckets, take a few lines of njs. APP stands where it is needed: with an
allow-list, and always on Kubernetes, where the access log tells it.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec

from deis_services.router.model import Site
from deis_services.router.policy import NOBODY

BUCKETS = 12
"""A multiple of the usual instance counts, so that they share the load evenly."""
PIECE = 250
"""Hosts in one request to nginx: it serves nobody else while it takes them in."""
PIECE_BYTES = 4 * 1024 * 1024
"""Of certificates or allow-lists in one request; nginx takes 8 MB, escapes and names included."""


V = TypeVar("V", str, str | None)


class Value(msgspec.Struct, frozen=True, array_like=True):
    """What stands before each of the targets, and these."""

    prefix: str
    targets: tuple[str, ...]


class Line(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """A host's values: `prefix` + each of `targets`; no targets: the host is nobody's."""

    host: str
    prefix: str
    targets: tuple[str, ...]
    grafts: tuple[tuple[str, Value], ...] = ()
    """Path prefixes with values of their own, the longest first."""


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """One request to the admin socket. None removes; what a route needs stands before it."""

    allow: dict[str, str] = {}
    pem: dict[str, str | None] = {}
    lines: list[Line] = []


def line(host: str, site: Site | None, *, named: bool = False) -> Line:
    """The values of a host; `named` has them all name their application."""
    if site is None:
        return Line(host, "", ())
    own = _value(site, named=named)
    by_length = sorted(site.grafts, key=lambda graft: len(graft[0]), reverse=True)
    grafts = tuple((path, _value(other, named=named)) for path, other in by_length)
    return Line(host, own.prefix, own.targets, grafts)


def _value(site: Site, *, named: bool) -> Value:
    prefix = "".join(
        letter
        for letter, wanted in (
            ("g", bool(site.grafts)),
            ("n", not site.tls),
            ("w", site.retry_writes),
            ("e", site.enforce_https),
            ("a", site.allow is not None),
            (f"p{site.profile}", bool(site.profile)),
        )
        if wanted
    )
    if named or site.allow is not None:
        prefix += f":{site.app}:"
    return Value(prefix, ("M",) if site.maintenance else site.targets or ("U",))


def api_line(host: str) -> Line:
    """The values of the API's host."""
    return Line(host, "", ("G",))


def allowed(networks: Iterable[str]) -> tuple[str, list[str]]:
    """An allow-list as address prefixes in binary digits, `4:00001010 6:…`, and its bad entries.

    Nobody is let in where every entry is bad.
    """
    prefixes, bad = [], []
    for text in networks:
        if text == NOBODY:
            continue
        try:
            network = ipaddress.ip_network(text.strip(), strict=False)
        except ValueError:
            bad.append(text)
            continue
        bits = format(int(network.network_address), f"0{network.max_prefixlen}b")
        prefixes.append(f"{network.version}:{bits[: network.prefixlen]}")
    return " ".join(prefixes), bad


def pieces(piece: Piece) -> Iterator[Piece]:
    """The same in requests of bounded size, in an order that never shows a route too early."""
    for allow in _portions(piece.allow):
        yield Piece(allow=allow)
    for pem in _portions(piece.pem):
        yield Piece(pem=pem)
    for lines in _rows(piece.lines):
        yield Piece(lines=lines)


def _rows(lines: Iterable[Line]) -> Iterator[list[Line]]:
    rows: list[Line] = []
    size = 0
    for row in lines:
        values = (Value(row.prefix, row.targets), *(value for _, value in row.grafts))
        length = sum(len(value.prefix) + sum(map(len, value.targets)) for value in values)
        if len(rows) == PIECE or (rows and size + length > PIECE_BYTES):
            yield rows
            rows, size = [], 0
        rows.append(row)
        size += length
    if rows:
        yield rows


def _portions(texts: Mapping[str, V]) -> Iterator[dict[str, V]]:
    portion: dict[str, V] = {}
    size = 0
    for name, text in texts.items():
        length = len(text or "")
        if len(portion) == PIECE or (portion and size + length > PIECE_BYTES):
            yield portion
            portion, size = {}, 0
        portion[name] = text
        size += length
    if portion:
        yield portion
