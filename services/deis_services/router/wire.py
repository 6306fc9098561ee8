"""How hosts are written into nginx' shared memory. Pure; `templates/router.js` reads it.

A host has BUCKETS values, spread over its instances. A value is `FLAGS[:APP:]TARGET`:

    flags   n   not over TLS (a custom name without a certificate)
            w   writes may be retried and use kept connections
            e   plain HTTP is sent to HTTPS
            a   only addresses of the list `allow:APP` may come in
    target  a port of the pool, M maintenance, U nothing is up, G the API

`nw20017` is decided by nginx' own maps alone; the other flags take a few lines of njs.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec

from deis_services.router.model import Site

BUCKETS = 12
"""A multiple of the usual instance counts, so that they share the load evenly."""
PIECE = 250
"""Hosts in one request to nginx: it serves nobody else while it takes them in."""
PIECE_BYTES = 4 * 1024 * 1024
"""Of certificates or allow-lists in one request; nginx takes 8 MB, escapes and names included."""


V = TypeVar("V", str, str | None)


class Line(msgspec.Struct, frozen=True, array_like=True):
    """A host's values: `prefix` + each of `targets`; no targets: the host is nobody's."""

    host: str
    prefix: str
    targets: tuple[str, ...]


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """One request to the admin socket. None removes; what a route needs stands before it."""

    allow: dict[str, str] = {}
    pem: dict[str, str | None] = {}
    lines: list[Line] = []


def line(host: str, site: Site | None) -> Line:
    """The values of a host."""
    if site is None:
        return Line(host, "", ())
    flags = "".join(
        letter
        for letter, wanted in (
            ("n", not site.tls),
            ("w", site.retry_writes),
            ("e", site.enforce_https),
            ("a", bool(site.allow)),
        )
        if wanted
    )
    if site.allow:
        flags += f":{site.app}:"
    if site.maintenance:
        return Line(host, flags, ("M",))
    return Line(host, flags, tuple(map(str, site.ports)) or ("U",))


def api_line(host: str) -> Line:
    """The values of the API's host."""
    return Line(host, "", ("G",))


def allowed(networks: Iterable[str]) -> tuple[str, list[str]]:
    """An allow-list as address prefixes in binary digits, `4:00001010 6:…`, and its bad entries.

    Nobody is let in where every entry is bad.
    """
    prefixes, bad = [], []
    for text in networks:
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
    for start in range(0, len(piece.lines), PIECE):
        yield Piece(lines=piece.lines[start : start + PIECE])


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
