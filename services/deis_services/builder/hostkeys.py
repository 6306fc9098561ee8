"""The server's host keys: made once, kept, so that clients find the server they know."""

import os
import secrets
from pathlib import Path

import asyncssh

KINDS = (("ed25519", "ssh-ed25519"), ("ecdsa", "ecdsa-sha2-nistp256"))


def host_keys(folder: Path) -> list[asyncssh.SSHKey]:
    """Keys `ssh_host_<kind>_key` of the folder (0600), made where absent.

    Raises OSError, asyncssh.KeyImportError where one cannot be read.
    """
    return [_key(folder / f"ssh_host_{name}_key", kind) for name, kind in KINDS]


def _key(path: Path, kind: str) -> asyncssh.SSHKey:
    if not path.exists():
        _write(path, asyncssh.generate_private_key(kind).export_private_key())
    return asyncssh.read_private_key(path)


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all: a torn key would lock everybody out."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
