"""Values encrypted at rest, as JSON inside (DESIGN 9)."""

from typing import TypeVar

import msgspec

from deis_platform.crypto import Keyring

T = TypeVar("T")


def seal(keyring: Keyring, value: object) -> bytes:
    """The value's JSON, encrypted."""
    return keyring.encrypt(msgspec.json.encode(value))


def unseal(keyring: Keyring, data: bytes, kind: type[T]) -> T:
    """What `seal` was given; raises what the keyring raises for a wrong key."""
    return msgspec.json.decode(keyring.decrypt(data), type=kind)
