"""Annotations as typed settings (components.md 1.4 to 1.8). Pure; never raises.

A wrong value costs its own key, in a list its own entry, and is a problem in words. Keys that
are not ours, or that we dropped (docs/router.md), are left alone.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from deis_services.router import values
from deis_services.router.policy import (
    NOBODY,
    REFERRER_POLICIES,
    Builder,
    Profile,
    Structure,
    Tuning,
)

T = TypeVar("T")

PREFIX = "router.deis.io/"
MAX_DOMAINS = 1000
MAX_NETWORKS = 1000
MAX_PATHS = 64


class AppSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the annotations of a routable Service say."""

    domains: tuple[str, ...] = ()
    certificates: dict[str, str] = {}
    """Domain to the name of a certificate."""
    allow: tuple[str, ...] = ()
    maintenance: bool = False
    enforce_https: bool = False
    retry_writes: bool = False
    profile: Profile = Profile()
    graft_domain: str = ""
    graft_paths: tuple[str, ...] = ()


class _Reader:
    """Reads keys of one object and collects what is wrong."""

    def __init__(self, annotations: Mapping[str, str]) -> None:
        self._annotations = annotations
        self.problems: list[str] = []

    def one(self, key: str, parse: Callable[[str], T], default: Any = None) -> T | Any:
        """The value of a key, or the default."""
        text = self._annotations.get(PREFIX + key)
        if text is None:
            return default
        try:
            return parse(text)
        except ValueError as fault:
            self._wrong(key, text, fault)
            return default

    def many(self, key: str, parse: Callable[[str], T], most: int) -> tuple[T, ...]:
        """The good entries of a list, each once."""
        found: dict[T, None] = {}
        for word in values.listed(self._annotations.get(PREFIX + key, "")):
            if len(found) == most:
                self.problems.append(f"{key}: more than {most} entries")
                break
            try:
                found[parse(word)] = None
            except ValueError as fault:
                self._wrong(key, word, fault)
        return tuple(found)

    def networks(self, key: str) -> tuple[str, ...]:
        """An allow-list; one that is not empty and has no good entry lets nobody in."""
        found = self.many(key, values.network, MAX_NETWORKS)
        if not found and any(values.listed(self._annotations.get(PREFIX + key, ""))):
            return (NOBODY,)
        return found

    def read(self, kind: type[T], table: Mapping[str, tuple[str, Callable[[str], Any]]]) -> T:
        """A struct from a table of key to field and parser; its defaults where a key is absent."""
        given = {
            field: value
            for key, (field, parse) in table.items()
            if (value := self.one(key, parse)) is not None
        }
        return kind(**given)

    def _wrong(self, key: str, text: str, fault: ValueError) -> None:
        self.problems.append(f"{key}: {fault}, not {text[:60]!r}")


def _start_header(text: str) -> bool | None:
    """False where the header is disabled; nothing can ask for it alone."""
    return False if values.boolean(text) else None


_buffer_count = values.number(1, 256)
_referrer = values.one_of(*REFERRER_POLICIES)

_PROFILE: dict[str, tuple[str, Callable[[str], Any]]] = {
    "connectTimeout": ("connect_ms", values.milliseconds),
    "tcpTimeout": ("idle_ms", values.milliseconds),
    "nginx.proxyBuffers.enabled": ("buffering", values.boolean),
    "nginx.proxyBuffers.number": ("buffers", _buffer_count),
    "nginx.proxyBuffers.size": ("buffer_bytes", values.small),
    "nginx.proxyBuffers.busySize": ("busy_bytes", values.small),
    "referrerPolicy": ("referrer", _referrer),
    "disableRequestStartHeader": ("request_start", _start_header),
}


def app_settings(annotations: Mapping[str, str]) -> tuple[AppSettings, list[str]]:
    """The settings of an application, and what is wrong in them."""
    read = _Reader(annotations)
    graft_domain = read.one("proxyDomain", values.domain, "")
    graft_paths = read.many("proxyLocations", values.path, MAX_PATHS)
    if bool(graft_domain) != bool(graft_paths):
        read.problems.append("proxyDomain and proxyLocations: one is of no use without the other")
        graft_domain, graft_paths = "", ()
    settings = AppSettings(
        domains=read.many("domains", values.domain, MAX_DOMAINS),
        certificates=dict(read.many("certificates", _certificate, MAX_DOMAINS)),
        allow=read.networks("whitelist"),
        maintenance=read.one("maintenance", values.boolean, False),
        enforce_https=read.one("ssl.enforce", values.boolean, False),
        retry_writes=read.one("nginx.retryWrites", values.boolean, False),
        profile=read.read(Profile, _PROFILE),
        graft_domain=graft_domain,
        graft_paths=graft_paths,
    )
    return settings, read.problems


def _certificate(text: str) -> tuple[str, str]:
    """An entry `domain:NAME`."""
    domain, colon, name = text.partition(":")
    if not colon:
        raise ValueError("expected DOMAIN:NAME")
    return values.pattern(domain), values.label(name)


def builder_settings(annotations: Mapping[str, str], address: str) -> tuple[Builder, list[str]]:
    """How connections to the git server at `address` are kept (components.md 1.8)."""
    read = _Reader(annotations)
    defaults = Builder(address=address)
    builder = Builder(
        address=address,
        connect_ms=read.one("nginx.connectTimeout", values.milliseconds, defaults.connect_ms),
        idle_ms=read.one("nginx.tcpTimeout", values.milliseconds, defaults.idle_ms),
    )
    return builder, read.problems


def _workers(text: str) -> int:
    return 0 if text.strip() == "auto" else values.number(1, 64)(text)


def _shared(text: str) -> bool:
    """Whether sessions are kept: the name and the size of the zone are ours."""
    words = text.split()
    if words in ([], ["off"], ["none"]):
        return False
    if len(words) <= 2 and all(word.startswith(("builtin", "shared:")) for word in words):
        return True
    raise ValueError("expected off, none, builtin or shared:NAME:SIZE")


_STRUCTURE: dict[str, tuple[str, Callable[[str], Any]]] = {
    "nginx.workerProcesses": ("workers", _workers),
    "nginx.maxWorkerConnections": ("connections", values.number(64, 1_000_000)),
    "nginx.defaultTimeout": ("idle_ms", values.milliseconds),
    "nginx.bodySize": ("body_bytes", values.size_or_none),
    "nginx.requestIDs": ("request_ids", values.boolean),
    "nginx.requestStartHeader": ("request_start", values.boolean),
    "nginx.gzip.enabled": ("gzip", values.boolean),
    "nginx.gzip.compLevel": ("gzip_level", values.number(1, 9)),
    "nginx.gzip.httpVersion": ("gzip_http", values.one_of("1.0", "1.1")),
    "nginx.gzip.minLength": ("gzip_min_bytes", values.number(0)),
    "nginx.gzip.proxied": (
        "gzip_proxied",
        values.some_of(
            "off",
            "expired",
            "no-cache",
            "no-store",
            "private",
            "no_last_modified",
            "no_etag",
            "auth",
            "any",
        ),
    ),
    "nginx.gzip.types": ("gzip_types", values.media_types),
    "nginx.gzip.vary": ("gzip_vary", values.one_of("on", "off")),
    "nginx.largeHeaderBuffersCount": ("header_buffers", values.number(1, 64)),
    "nginx.largeHeaderBuffersSize": ("header_buffer_bytes", values.small),
    "nginx.useProxyProtocol": ("proxy_protocol", values.boolean),
    "nginx.errorLogLevel": (
        "error_level",
        values.one_of("debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"),
    ),
    "nginx.disableServerTokens": ("server_tokens", lambda text: not values.boolean(text)),
    "nginx.http2Enabled": ("http2", values.boolean),
    "nginx.proxyBuffers.enabled": ("buffering", values.boolean),
    "nginx.proxyBuffers.number": ("buffers", _buffer_count),
    "nginx.proxyBuffers.size": ("buffer_bytes", values.small),
    "nginx.proxyBuffers.busySize": ("busy_bytes", values.small),
    "nginx.referrerPolicy": ("referrer", _referrer),
    "nginx.ssl.protocols": (
        "ssl_protocols",
        values.some_of("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
    ),
    "nginx.ssl.ciphers": ("ssl_ciphers", values.ciphers),
    "nginx.ssl.sessionCache": ("ssl_session_cache", _shared),
    "nginx.ssl.sessionTimeout": ("ssl_session_ms", values.milliseconds),
    "nginx.ssl.useSessionTickets": ("ssl_tickets", values.boolean),
    "nginx.ssl.bufferSize": ("ssl_buffer_bytes", values.small),
}


def router_settings(annotations: Mapping[str, str]) -> tuple[Tuning, list[str]]:
    """The router's own settings, from its Deployment, and what is wrong in them."""
    read = _Reader(annotations)
    fallback = read.one("nginx.defaultServiceEnabled", values.boolean, False)
    strict = read.one("nginx.ssl.hsts.enabled", values.boolean, False)
    structure = msgspec.structs.replace(
        read.read(Structure, _STRUCTURE),
        real_ip=read.many("nginx.proxyRealIpCidrs", values.network, MAX_NETWORKS),
        fallback_app=read.one("nginx.defaultAppName", values.label, "") if fallback else "",
        fallback_ip=read.one("nginx.defaultServiceIP", values.ipv4, "") if fallback else "",
        hsts=_hsts(read) if strict else "",
    )
    if fallback and not structure.fallback_ip:
        read.problems.append("nginx.defaultServiceEnabled: nginx.defaultServiceIP is missing")
    tuning = Tuning(
        domain=read.one("nginx.platformDomain", values.host),
        enforce_https=read.one("nginx.ssl.enforce", values.boolean, False) or strict,
        default_allow=read.networks("nginx.defaultWhitelist"),
        enforce_allow=read.one("nginx.enforceWhitelists", values.boolean, False),
        override_allow=read.one("nginx.whitelistMode", _mode, "extend") == "override",
        structure=structure,
    )
    return tuning, read.problems


_mode = values.one_of("extend", "override")


def _hsts(read: _Reader) -> str:
    """The header's value; what comes from the annotations is a number and two yes or no."""
    seconds = read.one("nginx.ssl.hsts.maxAge", values.number(1), 15_552_000)
    words = [f"max-age={seconds}"]
    if read.one("nginx.ssl.hsts.includeSubDomains", values.boolean, False):
        words.append("includeSubDomains")
    if read.one("nginx.ssl.hsts.preload", values.boolean, False):
        words.append("preload")
    return "; ".join(words)
