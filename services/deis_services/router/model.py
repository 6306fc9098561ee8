"""The route table as one value: which host means which application, where it runs, under what
policy. Pure: bytes of bucket ROUTES go in, changed hosts come out (components.md 1.9 to 1.11).

What is wrong in an entry costs only its own application and is told by `problems()`.
"""

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from deis_bus.routes import AppRoute, Upstreams

API = "deis"
"""The label of the platform's own API; no application gets it."""
POOL_ADDRESS = "127.0.0.1"
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
NAME = re.compile(rf"(\*|{LABEL.pattern})(\.{LABEL.pattern})+")
MAX_HOST = 253
MAX_INSTANCES = 512

V = TypeVar("V", AppRoute, Upstreams)

_route = msgspec.json.Decoder(AppRoute).decode
_upstreams = msgspec.json.Decoder(Upstreams).decode


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """What one host means at this moment."""

    app: str
    ports: tuple[int, ...]
    """Ports of the ready instances; empty: nothing is up."""
    maintenance: bool
    enforce_https: bool
    allow: tuple[str, ...]
    retry_writes: bool
    tls: bool
    """Whether it answers over TLS: a name of the platform, or one with a certificate of its own."""
    fingerprint: str
    """Its own certificate; empty for the platform's."""


class RouteTable:
    """All hosts. `put` takes entries of the bucket, `touched` tells which hosts they changed."""

    def __init__(self, domain: str, ports: range) -> None:
        self._domain = domain.lower().strip(".")
        self._pool = ports
        self._routes: dict[str, AppRoute] = {}
        self._upstreams: dict[str, tuple[Upstreams, frozenset[int]]] = {}
        self._claims: dict[str, list[str]] = {}
        self._names: dict[str, dict[str, str]] = {}
        self._owners: dict[int, str] = {}
        self._certified: set[str] = set()
        self._missing: set[str] = set()
        self._touched: set[str] = set()
        self._problems: list[str] = []

    @property
    def api(self) -> str:
        """The host of the API."""
        return self.complete(API)

    def complete(self, entry: str) -> str:
        """A domain entry as a pattern: `a.b`, `*.a.b`, or `label.*` where no domain is set."""
        if "." in entry:
            return entry.lower()
        return f"{entry.lower()}.{self._domain or '*'}"

    def put(self, key: str, data: bytes | None) -> None:
        """Take one entry in; None removes it."""
        kind, _, app = key.partition(".")
        if kind == "app":
            self._put_route(app, self._decoded(key, data, _route))
        elif kind == "up":
            self._put_upstreams(app, self._decoded(key, data, _upstreams))

    def keys(self) -> set[str]:
        """The keys it holds something of."""
        return {f"app.{app}" for app in self._routes} | {f"up.{app}" for app in self._upstreams}

    def certify(self, fingerprint: str, usable: bool) -> None:
        """A certificate and its key are there and fit, or are not."""
        if usable != (fingerprint in self._certified):
            self._certified ^= {fingerprint}
            (self._missing.discard if usable else self._missing.add)(fingerprint)
            for app, route in self._routes.items():
                if fingerprint in route.certificates.values():
                    self._touched.update(self._names.get(app, {}))

    def fingerprints(self) -> set[str]:
        """Every certificate that is wanted."""
        return {f for route in self._routes.values() for f in route.certificates.values() if f}

    def missing(self) -> set[str]:
        """Certificates that some route names and that are not there."""
        return set(self._missing)

    def touch(self, hosts: Iterable[str]) -> None:
        """These hosts have to be written (again)."""
        self._touched.update(hosts)

    def touched(self) -> list[str]:
        """The hosts that changed since the last call."""
        hosts, self._touched = self._touched, set()
        return list(hosts)

    def hosts(self) -> list[str]:
        """Every host that some application claims."""
        return list(self._claims)

    def problems(self) -> list[str]:
        """What was wrong in the entries since the last call."""
        problems, self._problems = self._problems, []
        return problems

    def site(self, host: str) -> Site | None:
        """What a host (as a pattern of `complete`) means; None: nobody's, or not routable."""
        apps = self._claims.get(host)
        if not apps or host == self.api:
            return None
        app = apps[0]
        route = self._routes[app]
        if not route.routable:
            return None
        entry = self._names[app][host]
        fingerprint = route.certificates.get(entry, "")
        if fingerprint not in self._certified:
            fingerprint = ""
        return Site(
            app=app,
            ports=self._ports(app, route.appuuid),
            maintenance=route.maintenance,
            enforce_https=route.enforce_https,
            allow=route.allow,
            retry_writes=route.retry_writes,
            tls="." not in entry or bool(fingerprint),
            fingerprint=fingerprint,
        )

    def _ports(self, app: str, appuuid: str) -> tuple[int, ...]:
        upstreams, _ = self._upstreams.get(app, (None, None))
        if upstreams is None or upstreams.appuuid != appuuid:
            return ()
        ports = dict.fromkeys(self._port(address) for address in upstreams.addresses)
        return tuple(port for port in ports if port and self._owners.get(port) == app)

    def _port(self, address: str) -> int:
        """The port, 0 for an address that no upstream group holds."""
        host, _, port = address.rpartition(":")
        number = int(port) if port.isascii() and port.isdigit() else 0
        return number if host == POOL_ADDRESS and number in self._pool else 0

    def _decoded(self, key: str, data: bytes | None, decode: Callable[[bytes], V]) -> V | None:
        if data is None:
            return None
        try:
            value = decode(data)
        except msgspec.MsgspecError as fault:
            self._problems.append(f"{key}: {fault}")
            return None
        if value.app != key.partition(".")[2] or not LABEL.fullmatch(value.app):
            self._problems.append(f"{key}: names another application, {value.app!r}")
            return None
        return value

    def _put_route(self, app: str, route: AppRoute | None) -> None:
        names = {} if route is None else self._patterns(route)
        old, before = self._names.get(app, {}), self._routes.get(app)
        for host in old.keys() - names.keys():
            self._claims[host].remove(app)
            if not self._claims[host]:
                del self._claims[host]
        for host in names.keys() - old.keys():
            holders = self._claims.setdefault(host, [])
            if holders:
                self._problems.append(f"app.{app}: {host} is held by {holders[0]}")
            holders.append(app)
        self._touched.update(old, names)
        if route is None:
            self._routes.pop(app, None)
            self._names.pop(app, None)
        else:
            self._routes[app] = route
            self._names[app] = names
            self._missing.update(set(route.certificates.values()) - self._certified - {""})
        if before is not None and not self._missing.isdisjoint(before.certificates.values()):
            self._missing &= self.fingerprints()

    def _patterns(self, route: AppRoute) -> dict[str, str]:
        """Pattern to the entry it came from."""
        names: dict[str, str] = {}
        for entry in route.hosts:
            host = self.complete(entry)
            plain = LABEL.fullmatch(entry.lower()) or NAME.fullmatch(entry.lower())
            if not plain or len(host) > MAX_HOST:
                self._problems.append(f"app.{route.app}: not a host name: {entry!r}")
            elif host == self.api:
                self._problems.append(f"app.{route.app}: {host} belongs to the platform")
            else:
                names.setdefault(host, entry)
        return names

    def _put_upstreams(self, app: str, upstreams: Upstreams | None) -> None:
        _, old = self._upstreams.pop(app, (None, frozenset[int]()))
        for port in old:
            if self._owners.get(port) == app:
                del self._owners[port]
        if upstreams is not None:
            upstreams = self._bounded(upstreams)
            ports = frozenset(filter(None, map(self._port, upstreams.addresses)))
            for port in ports:
                # A port has one owner, the last who was written: a stale entry of another
                # application must never lead to this one's instance.
                loser = self._owners.get(port)
                if loser is not None:
                    self._problems.append(f"up.{app}: port {port} was listed by {loser}")
                    self._touched.update(self._names.get(loser, {}))
                self._owners[port] = app
            self._upstreams[app] = (upstreams, ports)
        self._touched.update(self._names.get(app, {}))

    def _bounded(self, upstreams: Upstreams) -> Upstreams:
        """The same with the addresses that can be served, at most MAX_INSTANCES."""
        good = tuple(a for a in upstreams.addresses if self._port(a))
        if len(good) < len(upstreams.addresses):
            bad = next(a for a in upstreams.addresses if not self._port(a))
            self._problems.append(f"up.{upstreams.app}: no upstream group holds {bad!r}")
        return msgspec.structs.replace(upstreams, addresses=good[:MAX_INSTANCES])
