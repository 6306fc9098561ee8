"""What annotations say, as values: of one application's traffic and of the router itself. Pure.

`Profile` and `Structure` are written into nginx' configuration and need a reload; everything
else is data.
"""

import msgspec

NOBODY = "none"
"""Stands in an allow-list all of whose entries are wrong: it must not open the door."""
REFERRER_POLICIES = (
    "no-referrer",
    "no-referrer-when-downgrade",
    "origin",
    "origin-when-cross-origin",
    "same-origin",
    "strict-origin",
    "strict-origin-when-cross-origin",
    "unsafe-url",
    "none",
)
GZIP_TYPES = (
    "application/atom+xml",
    "application/javascript",
    "application/json",
    "application/rss+xml",
    "application/vnd.ms-fontobject",
    "application/x-font-ttf",
    "application/x-web-app-manifest+json",
    "application/xhtml+xml",
    "application/xml",
    "font/opentype",
    "image/svg+xml",
    "image/x-icon",
    "text/css",
    "text/plain",
    "text/x-component",
)


class Profile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Settings of an application that nginx knows per location only. None: as for the router."""

    connect_ms: int | None = None
    idle_ms: int | None = None
    buffering: bool | None = None
    buffers: int | None = None
    buffer_bytes: int | None = None
    busy_bytes: int | None = None
    referrer: str | None = None
    request_start: bool | None = None


PLAIN = Profile()
"""The profile of an application that asks for nothing special."""


class Structure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Settings of the router that are configuration text. None: as the environment says."""

    workers: int | None = None
    """0: one for each processor."""
    connections: int | None = None
    idle_ms: int | None = None
    body_bytes: int | None = None
    """0: any."""
    request_ids: bool = False
    request_start: bool = False
    gzip: bool = True
    gzip_level: int = 5
    gzip_http: str = "1.1"
    gzip_min_bytes: int = 256
    gzip_proxied: tuple[str, ...] = ("any",)
    gzip_types: tuple[str, ...] = GZIP_TYPES
    gzip_vary: str = "on"
    header_buffers: int = 4
    header_buffer_bytes: int = 32 * 1024
    real_ip: tuple[str, ...] = ()
    """Who may say for whom it speaks, in X-Forwarded-For."""
    proxy_protocol: bool = False
    error_level: str = "error"
    server_tokens: bool = False
    fallback_app: str = ""
    fallback_ip: str = ""
    """Who gets plain requests for unknown hosts; empty: they are not found."""
    http2: bool = True
    buffering: bool = False
    buffers: int = 8
    buffer_bytes: int = 16 * 1024
    busy_bytes: int = 32 * 1024
    referrer: str | None = None
    ssl_protocols: tuple[str, ...] = ("TLSv1.2", "TLSv1.3")
    ssl_ciphers: str = ""
    ssl_session_cache: bool = True
    ssl_session_ms: int = 600_000
    ssl_tickets: bool = True
    ssl_buffer_bytes: int = 4 * 1024
    hsts: str = ""
    """The header's value; empty: none."""


class Tuning(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the router's own annotations say."""

    domain: str | None = None
    """The platform's domain; None: as the environment says."""
    enforce_https: bool = False
    default_allow: tuple[str, ...] = ()
    enforce_allow: bool = False
    override_allow: bool = False
    """An application's list stands alone, instead of adding to the default one."""
    structure: Structure = Structure()


class Builder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the git server is and how long its connections may be silent."""

    address: str
    """`ip:port`."""
    connect_ms: int = 10_000
    idle_ms: int = 1_200_000


def allowed(tuning: Tuning, own: tuple[str, ...]) -> tuple[str, ...] | None:
    """Who may come in to an application with this list: None everybody, empty nobody
    (components.md 1.11)."""
    if own:
        return own if tuning.override_allow else tuple(dict.fromkeys(tuning.default_allow + own))
    if tuning.default_allow:
        return tuning.default_allow
    return () if tuning.enforce_allow else None


def buffers(profile: Profile, structure: Structure) -> tuple[int, int, int]:
    """Count, size and busy size as nginx takes them: it refuses a busy size below one buffer or
    above all but one, and then the whole configuration."""
    count = max(profile.buffers or structure.buffers, 2)
    size = profile.buffer_bytes or structure.buffer_bytes
    busy = profile.busy_bytes or structure.busy_bytes
    return count, size, min(max(busy, size), (count - 1) * size)
