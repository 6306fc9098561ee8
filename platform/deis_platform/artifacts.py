"""Capability tokens for objects: whoever holds one may do this one thing below that prefix.

A token is text that says what it allows, signed with a key both sides derive from the
platform's keyring; no table of tokens, nothing to look up.
"""

import base64
import binascii
import hashlib
import hmac
import time

import msgspec

PATH = "/artifacts/"
"""Objects are at `PATH + key`."""
_VERSION = "a1"


class _Grant(msgspec.Struct, array_like=True):
    method: str
    prefix: str
    expires: int


def sign(key: bytes, method: str, prefix: str, expires: float = 0) -> str:
    """A token for `method` (`GET` allows HEAD too, `GET,PUT` both) on keys below `prefix`.

    One that does not end in a slash is a single key, and `<key>.json` beside it. `expires` is a
    Unix time; 0: never.
    """
    grant = msgspec.json.encode(_Grant(method, prefix, int(expires)))
    body = f"{_VERSION}.{_text(grant)}"
    return f"{body}.{_text(_signature(key, body))}"


def allows(key: bytes, token: str, method: str, path: str, now: float | None = None) -> bool:
    """Whether the token allows the method on an object key."""
    body, _, signature = token.rpartition(".")
    try:
        given = _bytes(signature)
        if not hmac.compare_digest(given, _signature(key, body)):
            return False
        version, _, encoded = body.partition(".")
        grant = msgspec.json.decode(_bytes(encoded), type=_Grant)
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        return False
    if version != _VERSION or not _opens(grant.prefix, path):
        return False
    if grant.expires and (time.time() if now is None else now) >= grant.expires:
        return False
    granted = grant.method.split(",")
    return method in granted or (method == "HEAD" and "GET" in granted)


def _opens(prefix: str, path: str) -> bool:
    if prefix.endswith("/"):
        return path.startswith(prefix)
    return path in (prefix, f"{prefix}.json")


def _signature(key: bytes, body: str) -> bytes:
    return hmac.new(key, body.encode(), hashlib.sha256).digest()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
