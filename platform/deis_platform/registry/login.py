"""An app's registry configuration (api.md 8.5, 25.3) as a login, or none. Pure."""

import base64
from collections.abc import Mapping

from deis_platform.registry import faults
from deis_platform.registry.reference import Authority, authority

Login = str
"""The value of an Authorization header; empty: nobody."""


def login_for(registry: Authority, credentials: Mapping[str, str]) -> Login:
    """What to say to this registry: nothing where `hostname` names another one.

    Raises Refused 400 for a user name without password, or the other way round.
    """
    username, password = credentials.get("username", ""), credentials.get("password", "")
    if not username and not password:
        return ""
    if not username or not password:
        raise faults.half_a_login()
    named = credentials.get("hostname", "")
    if named and _host(named) not in {registry, _explicit(registry)}:
        return ""
    both = f"{username}:{password}".encode(errors="replace")
    return f"Basic {base64.b64encode(both).decode()}"


def _host(named: str) -> Authority | None:
    """Of `quay.io`, `https://index.docker.io/v1/`, `gcr.io/project`."""
    _, _, rest = named.strip().rpartition("://")
    return authority(rest.partition("/")[0])


def _explicit(registry: Authority) -> Authority:
    return registry if registry.port else Authority(registry.host, 443)
