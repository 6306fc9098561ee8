"""The route table as one value: which host means which application, where it runs, under what
policy. Pure: bytes of entries go in, changed hosts come out (components.md 1.9 to 1.11).

Entries come from bucket ROUTES, or are made of the objects of a cluster. What is wrong in an
entry costs only its own application and is told by `problems()`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import msgspec

from deis_bus.routes import AppRoute, Upstreams
from deis_services.router.instances import Instances
from deis_services.router.policy import PLAIN, Builder, Profile, Tuning, allowed
from deis_services.router.pools import Pool
from deis_services.router.profiles import Profiles

API = "deis"
"""The label of the platform's own API; no application gets it."""
TUNING_KEY = "router"
BUILDER_KEY = "builder"
PLATFORM_KEY = "platform"
DHPARAM_KEY = "dhparam"
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
NAME = re.compile(rf"(\*|{LABEL.pattern})(\.{LABEL.pattern})+")
APP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/#-]{0,199}")
MAX_HOST = 253


class Route(AppRoute, frozen=True, kw_only=True, omit_defaults=True):
    """An AppRoute with what only annotations can say."""

    rank: str = ""
    """Of two claims to a host the lower rank wins; among equals the first."""
    profile: Profile = PLAIN
    graft_domain: str = ""
    """A domain entry of another application of the same owner, some of whose paths are ours."""
    graft_paths: tuple[str, ...] = ()


V = TypeVar("V", Route, Upstreams)
T = TypeVar("T")

_route = msgspec.json.Decoder(Route).decode
_upstreams = msgspec.json.Decoder(Upstreams).decode
_tuning = msgspec.json.Decoder(Tuning).decode
_builder = msgspec.json.Decoder(Builder).decode
_text = msgspec.json.Decoder(str).decode


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """What one host means at this moment."""

    app: str
    targets: tuple[str, ...]
    """The ready instances, as the pool names them; empty: nothing is up."""
    maintenance: bool
    enforce_https: bool
    allow: tuple[str, ...] | None
    """Who may come in; None: everybody."""
    retry_writes: bool
    tls: bool
    """Whether it answers over TLS: a name of the platform, or one with a certificate of its own."""
    fingerprint: str
    """Its own certificate; empty for the platform's."""
    profile: int = 0
    grafts: tuple[tuple[str, "Site"], ...] = ()
    """Path prefixes that another application answers."""


class RouteTable:
    """All hosts. `put` takes entries, `touched` tells which hosts they changed."""

    def __init__(self, domain: str, pool: Pool, *, cluster: bool = False) -> None:
        self.tuning = Tuning()
        self.builder: Builder | None = None
        self.platform = ""
        """Fingerprint of the platform's certificate, where an entry names one."""
        self.dhparam = ""
        self.profiles = Profiles()
        self._given_domain = domain.lower().strip(".")
        self.named = pool.named
        """Whether values name their applications."""
        self.instances = Instances(pool)
        self._cluster = cluster
        self._routes: dict[str, Route] = {}
        self._claims: dict[str, list[str]] = {}
        self._names: dict[str, dict[str, str]] = {}
        self._grafts: dict[str, dict[str, None]] = {}
        self._certified: set[str] = set()
        self._missing: set[str] = set()
        self._touched: dict[str, None] = {}
        self._problems: list[str] = []

    @property
    def api(self) -> str:
        """The host of the API; empty where it is an application among the others."""
        return "" if self._cluster else self.complete(API)

    def complete(self, entry: str) -> str:
        """A domain entry as a pattern: `a.b`, `*.a.b`, or `label.*` where no domain is set."""
        if "." in entry:
            return entry.lower()
        domain = self._given_domain if self.tuning.domain is None else self.tuning.domain
        return f"{entry.lower()}.{domain or '*'}"

    def put(self, key: str, data: bytes | None) -> None:
        """Take one entry in; None removes it."""
        kind, _, app = key.partition(".")
        if kind == "app":
            self._put_route(app, self._own(key, data, _route))
        elif kind == "up":
            self._put_upstreams(app, self._own(key, data, _upstreams))
        elif key == TUNING_KEY:
            self._tune(self._decoded(key, data, _tuning) or Tuning())
        elif key == BUILDER_KEY:
            self.builder = self._decoded(key, data, _builder)
        elif key == DHPARAM_KEY:
            self.dhparam = self._decoded(key, data, _text) or ""
        elif key == PLATFORM_KEY:
            self.platform = self._decoded(key, data, _text) or ""
            self._missing.update({self.platform} - self._certified - {""})
            self.touch(self.hosts())

    def keys(self) -> set[str]:
        """The keys it holds something of."""
        keys = {f"app.{app}" for app in self._routes}
        keys |= {f"up.{app}" for app in self.instances.apps()}
        singles = {
            TUNING_KEY: self.tuning != Tuning(),
            BUILDER_KEY: self.builder,
            DHPARAM_KEY: self.dhparam,
            PLATFORM_KEY: self.platform,
        }
        return keys | {key for key, held in singles.items() if held}

    def certify(self, fingerprint: str, usable: bool) -> None:
        """A certificate and its key are there and fit, or are not."""
        if usable != (fingerprint in self._certified):
            self._certified ^= {fingerprint}
            (self._missing.discard if usable else self._missing.add)(fingerprint)
            for app, route in self._routes.items():
                if fingerprint in route.certificates.values():
                    self.touch(self._names.get(app, {}))
            if fingerprint == self.platform:
                self.touch(self.hosts())

    def platform_certificate(self) -> str:
        """The fingerprint for names of the platform; empty: the one that was there from the start."""
        return self.platform if self.platform in self._certified else ""

    def fingerprints(self) -> set[str]:
        """Every certificate that is wanted."""
        own = {f for route in self._routes.values() for f in route.certificates.values()}
        return (own | {self.platform}) - {""}

    def missing(self) -> set[str]:
        """Certificates that some route names and that are not there."""
        return set(self._missing)

    def know_profiles(self, profiles: dict[int, Profile]) -> None:
        """nginx has locations for these from now on."""
        news = self.profiles.known(profiles)
        for app, route in self._routes.items():
            if route.profile in news:
                self._touch_app(app)

    def touch(self, hosts: Iterable[str]) -> None:
        """These hosts have to be written (again), after those that were touched before."""
        for host in hosts:
            self._touched.pop(host, None)
            self._touched[host] = None

    def touched(self) -> list[str]:
        """The hosts that changed since the last call; who lost an address before who got it."""
        hosts, self._touched = self._touched, {}
        return list(hosts)

    def hosts(self) -> list[str]:
        """Every host that some application claims."""
        return list(self._claims)

    def problems(self) -> list[str]:
        """What was wrong in the entries since the last call."""
        problems, self._problems = self._problems, []
        return problems

    def ripen(self, targets: Iterable[str]) -> None:
        """Upstream groups know these by now."""
        for app in self.instances.ripen(targets):
            self._touch_app(app)

    def unmet_grafts(self) -> list[str]:
        """Grafts onto a domain that nobody has, or another owner."""
        unmet = []
        for host, apps in self._grafts.items():
            holder = self._claims.get(host, [""])[0]
            owner = self._routes[holder].appuuid if holder else ""
            unmet += [
                f"{app}: no application of its owner has {host}"
                for app in apps
                if self._routes[app].appuuid != owner
            ]
        return unmet

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
        platform = "." not in entry and (not self._cluster or bool(self.platform_certificate()))
        site = self._site(app, route, tls=platform or bool(fingerprint), fingerprint=fingerprint)
        grafts = tuple(self._grafted(host, site, route.appuuid))
        return msgspec.structs.replace(site, grafts=grafts) if grafts else site

    def _site(self, app: str, route: Route, *, tls: bool, fingerprint: str) -> Site:
        return Site(
            app=app,
            targets=self.instances.of(app, route.appuuid),
            maintenance=route.maintenance,
            enforce_https=route.enforce_https or self.tuning.enforce_https,
            allow=allowed(self.tuning, route.allow),
            retry_writes=route.retry_writes,
            tls=tls,
            fingerprint=fingerprint,
            profile=self.profiles.number(route.profile),
        )

    def _grafted(self, host: str, site: Site, owner: str) -> Iterator[tuple[str, Site]]:
        """Paths of the host that are others', with the host's own name, TLS and allow-list."""
        taken: set[str] = set()
        for app in sorted(self._grafts.get(host, ()), key=lambda app: self._routes[app].rank):
            route = self._routes[app]
            if not route.routable or route.appuuid != owner:
                continue
            own = self._site(app, route, tls=site.tls, fingerprint="")
            for path in route.graft_paths:
                if path not in taken:
                    taken.add(path)
                    yield path, msgspec.structs.replace(own, app=site.app, allow=site.allow)

    def _own(self, key: str, data: bytes | None, decode: Callable[[bytes], V]) -> V | None:
        """An application's entry, where it is what its key says."""
        value = self._decoded(key, data, decode)
        if value and (value.app != key.partition(".")[2] or not APP.fullmatch(value.app)):
            self._problems.append(f"{key}: names another application, {value.app!r}")
            return None
        return value

    def _decoded(self, key: str, data: bytes | None, decode: Callable[[bytes], T]) -> T | None:
        try:
            return None if data is None else decode(data)
        except msgspec.MsgspecError as fault:
            self._problems.append(f"{key}: {fault}")
            return None

    def _tune(self, tuning: Tuning) -> None:
        if tuning == self.tuning:
            return
        self.touch(self.hosts())
        renamed, self.tuning = tuning.domain != self.tuning.domain, tuning
        if renamed:
            for app, route in list(self._routes.items()):
                self._put_route(app, route)
        self.touch(self.hosts())

    def _put_route(self, app: str, route: Route | None) -> None:
        names = {} if route is None else self._patterns(route)
        old, before = self._names.get(app, {}), self._routes.pop(app, None)
        self.touch((*old, *self._ungraft(app, before)))
        moved = route is None or before is None or before.rank != route.rank
        for host in old if moved else old.keys() - names.keys():
            self._claims[host].remove(app)
            if not self._claims[host]:
                del self._claims[host]
        self._names.pop(app, None)
        if before is not None:
            self.profiles.drop(before.profile)
        if route is not None:
            self._routes[app] = route
            self._names[app] = names
            for host in names if moved else names.keys() - old.keys():
                self._claim(host, app, route.rank)
            self._missing.update(set(route.certificates.values()) - self._certified - {""})
            if not self.profiles.take(route.profile):
                self._problems.append(f"app.{app}: too many different timeouts and buffers")
            self.touch((*names, *self._graft(app, route)))
        if before is not None and not self._missing.isdisjoint(before.certificates.values()):
            self._missing &= self.fingerprints()

    def _claim(self, host: str, app: str, rank: str) -> None:
        """In the order of rank, and of arrival among equals."""
        holders = self._claims.setdefault(host, [])
        place = sum(self._routes[holder].rank <= rank for holder in holders)
        holders.insert(place, app)
        if len(holders) > 1:
            loser = holders[1] if place == 0 else app
            self._problems.append(f"app.{loser}: {host} is held by {holders[0]}")

    def _graft(self, app: str, route: Route) -> Iterator[str]:
        """Note the host some of whose paths it answers, and give it."""
        if route.graft_domain and route.graft_paths:
            host = self.complete(route.graft_domain)
            self._grafts.setdefault(host, {})[app] = None
            yield host

    def _ungraft(self, app: str, route: Route | None) -> Iterator[str]:
        for host in [h for h, apps in self._grafts.items() if app in apps] if route else ():
            del self._grafts[host][app]
            if not self._grafts[host]:
                del self._grafts[host]
            yield host

    def _touch_app(self, app: str) -> None:
        self.touch(self._names.get(app, {}))
        route = self._routes.get(app)
        if route is not None and route.graft_domain:
            self.touch((self.complete(route.graft_domain),))

    def _patterns(self, route: Route) -> dict[str, str]:
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
        if upstreams is None:
            self.instances.drop(app)
        else:
            lost, bad = self.instances.put(app, upstreams.appuuid, upstreams.addresses)
            for loser, target in lost:
                self._problems.append(f"up.{app}: {target} was listed by {loser}")
                self._touch_app(loser)
            if bad:
                self._problems.append(f"up.{app}: no upstream group holds {bad[0]!r}")
        self._touch_app(app)
