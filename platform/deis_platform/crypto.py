"""Keys of the platform: one file, from which every other key is derived (DESIGN 9).

The file holds a root and numbered keys, one per line, in base64:

    root <32 bytes>
    1 <32 bytes>
    2 <32 bytes>

Hashes and tokens come from the root, which never changes; data is encrypted with the newest
numbered key and decrypted with the one it names, so keys rotate by adding a line.
"""

import asyncio
import base64
import binascii
import contextlib
import functools
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from deis_bus.errors import Transient

T = TypeVar("T")
KEY_BYTES = 32
NONCE_BYTES = 12
VERSION = b"\x01"
_HEAD = len(VERSION) + 2 + NONCE_BYTES
HASHES_AT_ONCE = 2
HASHES_WAITING = 64


class CryptoError(Exception):
    """The key file or encrypted data cannot be used; the text holds no secret."""


class Keyring:
    """The platform's keys."""

    def __init__(self, root: bytes, keys: dict[int, bytes]) -> None:
        self._root = root
        self._keys = keys
        self._current = max(keys)
        self._derive = functools.lru_cache(maxsize=64)(self._derived)
        self._ciphers = {number: AESGCM(_hkdf(key, "encryption")) for number, key in keys.items()}

    @classmethod
    def open(cls, path: str | Path) -> "Keyring":
        """The keyring of a file, which is made with mode 0600 where it is absent.

        Raises CryptoError when the file cannot be read or made, or is not a keyring.
        """
        if not str(path):
            raise CryptoError("DEIS_SECRET_FILE is not set: it names the platform's key file")
        path = Path(path)
        try:
            if not path.exists():
                _create(path)
            return cls(*_parse(path.read_text(encoding="ascii")))
        except (OSError, UnicodeDecodeError) as fault:
            raise CryptoError(f"the key file {path} cannot be used: {fault}") from fault
        except ValueError as fault:
            raise CryptoError(f"{path} is not a key file: {fault}") from None

    @classmethod
    def generate(cls) -> "Keyring":
        """A new one that is kept nowhere, for tests."""
        return cls(secrets.token_bytes(KEY_BYTES), {1: secrets.token_bytes(KEY_BYTES)})

    def derive(self, purpose: str) -> bytes:
        """A key of 32 bytes for this purpose; survives rotation."""
        return self._derive(purpose)

    def encrypt(self, data: bytes, context: bytes = b"") -> bytes:
        """AES-GCM with the newest key; `context` must be the same to decrypt."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        head = VERSION + self._current.to_bytes(2) + nonce
        return head + self._ciphers[self._current].encrypt(nonce, data, context)

    def decrypt(self, data: bytes, context: bytes = b"") -> bytes:
        """What `encrypt` was given. Raises CryptoError: damaged, other context, key not here."""
        if data[:1] != VERSION or len(data) < _HEAD:
            raise CryptoError("not encrypted data of this platform")
        cipher = self._ciphers.get(key_number(data))
        if cipher is None:
            raise CryptoError(f"key {key_number(data)} is not in the key file")
        try:
            return cipher.decrypt(data[3:_HEAD], data[_HEAD:], context)
        except InvalidTag:
            raise CryptoError("encrypted data is damaged or of another platform") from None

    def outdated(self, data: bytes) -> bool:
        """Whether this was encrypted with another key than the newest."""
        return key_number(data) != self._current

    def token_hash(self, token: str) -> str:
        """Hex digest under which a token is looked up; nobody without the key can compute it."""
        return hmac.new(self.derive("token hash"), token.encode(), hashlib.sha256).hexdigest()

    def _derived(self, purpose: str) -> bytes:
        return _hkdf(self._root, purpose)


def rotate(path: Path) -> int:
    """Add a key to a key file; services use it once they are restarted. Gives its number."""
    text = path.read_text(encoding="ascii")
    number = max(_parse(text)[1]) + 1
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    _write(fresh, f"{text.rstrip()}\n{number} {_random_key()}\n")
    fresh.replace(path)
    return number


def key_number(data: bytes) -> int:
    """Which key encrypted this."""
    return int.from_bytes(data[1:3])


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    _write(fresh, f"root {_random_key()}\n1 {_random_key()}\n")
    try:
        # A link fails where another service was faster: then its file counts.
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink()


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _random_key() -> str:
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def _parse(text: str) -> tuple[bytes, dict[int, bytes]]:
    root = b""
    keys: dict[int, bytes] = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, _, encoded = line.strip().partition(" ")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        if len(key) != KEY_BYTES or not (name == "root" or name.isdecimal()):
            raise ValueError("a line is neither `root KEY` nor `NUMBER KEY`")
        if (name == "root" and root) or (name != "root" and int(name) in keys):
            raise ValueError(f"it has two keys of the name {name}")
        if name == "root":
            root = key
        else:
            keys[int(name)] = key
    if not root or not keys or max(keys) > 0xFFFF:
        raise ValueError("it lacks a root or a numbered key")
    return root, keys


def _hkdf(key: bytes, purpose: str) -> bytes:
    info = f"deis {purpose}".encode()
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(key)


class Hasher:
    """Hashes and verifies passwords in threads, a bounded number at once."""

    def __init__(self, at_once: int = HASHES_AT_ONCE, waiting: int = HASHES_WAITING) -> None:
        self._argon2 = PasswordHasher()
        # Threads of its own bound it: a caller that goes away does not end the hash it began.
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="password")
        self._places = waiting

    async def hash(self, password: str) -> str:
        """The argon2id hash of a password. Raises Transient when too many wait."""
        return await self._in_turn(lambda: self._argon2.hash(password))

    async def verify(self, hashed: str, password: str) -> bool:
        """Whether the password has this hash. Raises Transient when too many wait."""
        return await self._in_turn(lambda: self._matches(hashed, password))

    def _matches(self, hashed: str, password: str) -> bool:
        try:
            return self._argon2.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _in_turn(self, work: Callable[[], T]) -> T:
        if self._places <= 0:
            raise Transient("too many logins at once")
        self._places -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._places += 1


@functools.cache
def _hasher() -> Hasher:
    return Hasher()


async def hash_password(password: str) -> str:
    """The argon2id hash of a password. Raises Transient when too many wait."""
    return await _hasher().hash(password)


async def verify_password(hashed: str, password: str) -> bool:
    """Whether the password has this hash; False too for what is no hash. Raises Transient."""
    return await _hasher().verify(hashed, password)
