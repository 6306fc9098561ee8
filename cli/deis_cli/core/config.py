"""Environment variables of an application (cli.md 6.6)."""

import base64
import binascii
import re
from pathlib import Path
from typing import Any

from deis_cli.core import models
from deis_cli.core.apps import path
from deis_cli.core.client import Api
from deis_cli.core.follow import Note, deploy
from deis_cli.errors import CONFLICT, CliError

_WORD = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_PEM = re.compile(r"-----BEGIN (DSA|RSA|EC|OPENSSH) PRIVATE KEY-----")


async def read(api: Api, app: str) -> dict[str, str]:
    """The variables."""
    return (await api.get(path(app, "config/"), models.Config)).texts()


async def change(api: Api, app: str, values: dict[str, Any], note: Note) -> dict[str, str]:
    """Set variables, remove those whose value is None; gives all of them afterwards."""
    reply = await deploy(api, "POST", path(app, "config/"), {"values": values}, app=app, note=note)
    return reply.decode(models.Config).texts()


def parse(words: list[str]) -> dict[str, str]:
    """`KEY=value` words; raises CliError for one that is none, before anything is sent."""
    found: dict[str, str] = {}
    for word in words:
        if word.startswith("#"):
            continue
        match = _WORD.fullmatch(word)
        if match is None:
            raise CliError(
                f"'{word}' does not match the pattern 'key=var', ex: MODE=test", CONFLICT
            )
        key, value = match.groups()
        found[key] = ssh_key(value) if key == "SSH_KEY" else value
    if not found:
        raise CliError("Nothing to set: give KEY=value", CONFLICT)
    return found


def ssh_key(value: str) -> str:
    """A private key as it is stored, in base64: given as PEM, as base64 or as a file's path."""
    if _PEM.match(value):
        return base64.b64encode(value.encode()).decode()
    try:
        if _PEM.match(base64.b64decode(value, validate=True).decode(errors="replace")):
            return value
    except binascii.Error:
        pass
    path_ = Path(value).expanduser()
    try:
        text = path_.read_text()
    except (OSError, ValueError) as fault:
        raise CliError("SSH_KEY is no private key and no file with one", CONFLICT) from fault
    if not _PEM.match(text):
        raise CliError(f"Could not parse SSH private key {path_}", CONFLICT)
    return base64.b64encode(text.encode()).decode()
