"""Releases (cli.md 6.18)."""

from deis_cli.core import models
from deis_cli.core.apps import path
from deis_cli.core.client import Api
from deis_cli.core.follow import Note, deploy
from deis_cli.errors import CONFLICT, CliError


def number(text: str) -> int:
    """`v3` or `3` as a number; raises CliError."""
    digits = text.removeprefix("v")
    if not (digits.isascii() and digits.isdigit()):
        raise CliError(f"'{text}' is no version: v3 or 3", CONFLICT)
    return int(digits)


async def listed(api: Api, app: str, limit: int) -> models.Page[models.Release]:
    """Newest first."""
    return await api.get(path(app, "releases/"), models.Page[models.Release], limit=limit)


async def info(api: Api, app: str, version: int) -> models.Release:
    """One release."""
    return await api.get(path(app, "releases", f"v{version}/"), models.Release)


async def stages(api: Api, app: str, version: int) -> models.Stages:
    """Where its seconds went; empty from an original controller."""
    reply = await api.ask("GET", path(app, "releases", f"v{version}", "stages"))
    return reply.decode(models.Stages) if reply.status == 200 else models.Stages()


async def rollback(api: Api, app: str, version: int | None, note: Note) -> int:
    """Go back to a version, or to the one before; gives the new release's number."""
    body = None if version is None else {"version": version}
    where = path(app, "releases", "rollback/")
    reply = await deploy(api, "POST", where, body, app=app, note=note)
    return reply.decode(models.Version).version
