"""Who sends a request, without the secrets: the token's keyed hash, the builder's key checked."""

import hmac
import ipaddress
from collections.abc import Mapping

from deis_platform.crypto import Keyring

MALFORMED = "-"
"""Stands for a token that cannot be one: no hash looks like it, so it is an invalid token."""


class Credentials:
    """Reads credentials of headers with the platform's key."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._builder = keyring.derive("builder-key").hex().encode()

    def token(self, headers: Mapping[str, str]) -> str:
        """The keyed hash of `Authorization: token …`; empty without one (api.md 3.1)."""
        scheme, _, token = headers.get("Authorization", "").strip().partition(" ")
        if scheme.lower() != "token":
            return ""
        token = token.strip()
        if not token or " " in token or not token.isascii():
            return MALFORMED
        return self._keyring.token_hash(token)

    def builder(self, headers: Mapping[str, str]) -> bool:
        """Whether the builder's shared key was sent."""
        given = headers.get("X-Deis-Builder-Auth", "")
        return bool(given) and hmac.compare_digest(given.encode(errors="replace"), self._builder)


def client_address(peer: str, forwarded: str) -> str:
    """Whose limit of logins counts: behind our router the address that it saw."""
    last = forwarded.rpartition(",")[2].strip()
    if last and _loopback(peer):
        try:
            return str(ipaddress.ip_address(last))
        except ValueError:
            return peer
    return peer


def _loopback(peer: str) -> bool:
    try:
        return ipaddress.ip_address(peer).is_loopback
    except ValueError:
        return False
