"""SSH keys (cli.md 6.10)."""

import re
from pathlib import Path

import msgspec

from deis_cli.core import models
from deis_cli.core.client import Api, part
from deis_cli.errors import CONFLICT, CliError

_PUBLIC = re.compile(
    r"((?:ssh-(?:rsa|dss|ed25519)|ecdsa-[\w-]+|sk-[\w@.-]+)) ([A-Za-z0-9+/=]+)(?: (.*))?"
)
MAX_BYTES = 64 * 1024


class PublicKey(msgspec.Struct, frozen=True):
    """A public key file."""

    id: str
    """The key's comment, else the file's name up to its first dot."""
    public: str
    path: Path


def read(path: Path) -> PublicKey:
    """A public key from its file. Raises CliError."""
    try:
        text = path.read_bytes()[:MAX_BYTES].decode().strip()
    except (OSError, UnicodeDecodeError) as fault:
        raise CliError(f"Cannot read the key {path}: {fault}", CONFLICT) from fault
    match = _PUBLIC.fullmatch(text)
    if match is None:
        raise CliError(f"{path} is not a valid ssh key", CONFLICT)
    return PublicKey((match[3] or "").strip() or path.name.split(".")[0], text, path)


def found(home: Path, problems: list[str]) -> list[PublicKey]:
    """The public keys in `~/.ssh`; what is none is told in `problems`."""
    keys: list[PublicKey] = []
    for path in sorted((home / ".ssh").glob("*.pub")):
        try:
            keys.append(read(path))
        except CliError as fault:
            problems.append(str(fault))
    return keys


async def listed(api: Api, limit: int) -> models.Page[models.Key]:
    """One's keys."""
    return await api.get("/v2/keys/", models.Page[models.Key], limit=limit)


async def add(api: Api, name: str, public: str) -> None:
    """Tell the platform a key."""
    await api.send("POST", "/v2/keys/", {"id": name, "public": public})


async def remove(api: Api, name: str) -> None:
    """Make it forget one."""
    await api.send("DELETE", f"/v2/keys/{part(name)}")
