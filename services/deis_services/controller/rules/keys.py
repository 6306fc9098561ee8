"""SSH public keys (api.md 20)."""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from deis_services.controller.rules.fields import Form

BAD_KEY = "Key contains invalid base64 chars"
KEY_TAKEN = "Public Key is already in use"
ID_TAKEN = "SSH Key with this id already exists."
MAX_BYTES = 16 * 1024


class PublicKey(msgspec.Struct, frozen=True):
    """A checked key; `fingerprint` is the MD5 of its blob, lower-case hex pairs with colons."""

    id: str
    public: str
    fingerprint: str


def public_key(body: Mapping[str, Any]) -> PublicKey:
    """The key asked for; raises Invalid."""
    form = Form(body)
    name = form.text("id", required=True, limit=128)
    public = form.text("public", required=True, limit=MAX_BYTES)
    found = fingerprint(public) if public else ""
    if public and found is None:
        form.wrong("public", BAD_KEY)
    form.done()
    return PublicKey(name, public, found or "")


def fingerprint(public: str) -> str | None:
    """MD5 fingerprint of an OpenSSH public key's text; None when it is none."""
    words = public.split()
    if len(words) < 2 or not public.isprintable():
        return None
    try:
        blob = base64.b64decode(words[1].encode(), validate=True)
    except (binascii.Error, ValueError):
        return None
    digest = hashlib.md5(blob, usedforsecurity=False).hexdigest()
    return ":".join(digest[i : i + 2] for i in range(0, 32, 2))
