"""The route table as it travels: host to application to instances (DESIGN 7).

The controller writes `app.<name>` (who answers to which host, and the policy), the runtime
writes `up.<name>` (which instances are ready). A router needs both; neither writer ever
touches the other's key. No private key travels here: `certificates` maps a host to a
fingerprint and the router fetches the pair by request.
"""

import msgspec


class AppRoute(msgspec.Struct, frozen=True, kw_only=True):
    """What the controller says of an application's traffic."""

    app: str
    appuuid: str
    hosts: tuple[str, ...]
    """Full names with a dot (`*.example.com` allowed), or one label that the router completes
    with the platform domain (components.md 1.9)."""
    routable: bool = True
    maintenance: bool = False
    enforce_https: bool = False
    allow: tuple[str, ...] = ()
    """Addresses or networks that may come in; empty lets everybody in."""
    certificates: dict[str, str] = {}
    retry_writes: bool = False


class Upstreams(msgspec.Struct, frozen=True, kw_only=True):
    """The ready instances of the routable process type."""

    app: str
    appuuid: str
    generation: int
    addresses: tuple[str, ...]
    """`host:port` of each ready instance."""


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What a live router tells of itself in bucket ROUTERS."""

    router: str
    revision: int
    """Every change of bucket ROUTES up to this revision is in force."""


def app_key(app: str) -> str:
    """Key of an AppRoute."""
    return f"app.{app}"


def upstreams_key(app: str) -> str:
    """Key of an Upstreams."""
    return f"up.{app}"
