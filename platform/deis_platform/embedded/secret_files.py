"""Passwords and keys that the platform makes for itself, one file each, mode 0600."""

import contextlib
import os
import secrets
from pathlib import Path


def secret_file(folder: Path, name: str, size: int = 24) -> Path:
    """The file of a secret, made at its first use with `size` random bytes as hexadecimal text.

    Two processes at once agree on one content; a file is never there half written.
    """
    path = folder / name
    if path.exists():
        return path
    draft = folder / f".{name}.{secrets.token_hex(4)}"
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, secrets.token_hex(size).encode())
        os.fsync(handle)
    finally:
        os.close(handle)
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
    return path


def read_secret(path: Path) -> str:
    """The text of a secret's file."""
    return path.read_text().strip()
