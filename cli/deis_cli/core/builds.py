"""Builds: list, from an image, and the output of one as it is made (cli.md 6.4)."""

import asyncio
import re
from collections.abc import AsyncIterator

import aiohttp

from deis_cli.core import models
from deis_cli.core.apps import path
from deis_cli.core.client import Api, part, refuse
from deis_cli.core.follow import Note, deploy
from deis_cli.errors import AWAY, CONFLICT, ApiError, CliError, Lost

NEWEST = "newest"
LOOK_SECONDS = 0.3
FINAL = ("released", "failed", "superseded", "closed")
_LINE = re.compile(r"([a-z0-9]+(?:-[a-z0-9]+)*)\s*:\s+(\S.*)")


def procfile(text: str) -> dict[str, str]:
    """`type: command` lines; raises CliError for anything else."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise CliError(f"The Procfile line {line!r} is not 'type: command'", CONFLICT)
        found[match[1]] = _unquoted(match[2])
    return found


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


async def listed(api: Api, app: str, limit: int) -> models.Page[models.Build]:
    """Newest first."""
    return await api.get(path(app, "builds/"), models.Page[models.Build], limit=limit)


async def create(api: Api, app: str, image: str, types: dict[str, str], note: Note) -> models.Build:
    """Deploy an image."""
    body: dict[str, object] = {"image": image}
    if types:
        body["procfile"] = types
    reply = await deploy(api, "POST", path(app, "builds/"), body, app=app, note=note)
    return reply.decode(models.Build)


async def output(api: Api, app: str, build: str, note: Note) -> AsyncIterator[bytes]:
    """A build's output from its first byte, followed to its end through broken connections."""
    where = path(app, "builds", part(build), "output")
    given, pause = 0, 0.2
    while True:
        try:
            async with api.open("GET", where) as answer:
                await refuse(answer)
                skip = given
                async for piece in answer.content.iter_any():
                    fresh = piece[skip:]
                    skip = max(0, skip - len(piece))
                    given += len(fresh)
                    if fresh:
                        yield fresh
                return
        except (Lost, aiohttp.ClientError) as fault:
            note(f"{fault}; connecting again")
        await asyncio.sleep(pause)
        pause = min(pause * 2, 5.0)


async def which(api: Api, app: str, build: str) -> models.Output:
    """The build that a name stands for, and how far its push is."""
    where = path(app, "builds", part(build), "output")
    return await api.get(where, models.Output, state="only")


async def outcome(api: Api, app: str, build: str, note: Note) -> str:
    """Wait for the end of a push whose build has ended: one of `FINAL`."""
    while True:
        try:
            state = (await which(api, app, build)).state
        except (Lost, ApiError) as fault:
            if isinstance(fault, ApiError) and fault.status not in AWAY:
                raise
            note(f"{fault}; asking again")
            state = ""
        if state in FINAL:
            return state
        await asyncio.sleep(LOOK_SECONDS)
