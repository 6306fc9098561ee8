"""Counts and restarts (cli.md 6.16)."""

import re

from deis_cli.core import models
from deis_cli.core.apps import path, pods
from deis_cli.core.client import Api, part
from deis_cli.core.follow import Note, deploy
from deis_cli.errors import CONFLICT, CliError

_TYPE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def counts(words: list[str]) -> dict[str, int]:
    """`web=3` words; raises CliError before anything is sent."""
    found: dict[str, int] = {}
    for word in words:
        kind, equals, number = word.partition("=")
        if not equals or not _TYPE.fullmatch(kind) or not (number.isascii() and number.isdigit()):
            raise CliError(f"'{word}' does not match the pattern 'type=num', ex: web=2", CONFLICT)
        found[kind] = int(number)
    return found


async def scale(api: Api, app: str, wanted: dict[str, int], note: Note) -> None:
    """Change how many instances run, and wait until they do."""
    await deploy(api, "POST", path(app, "scale/"), wanted, app=app, note=note)


async def restart(api: Api, app: str, target: str | None, note: Note) -> list[models.Pod]:
    """Restart everything, a type or one instance; gives the instances afterwards."""
    parts = await _target(api, app, target) if target else []
    where = path(app, "pods", *map(part, parts), "restart/")
    reply = await deploy(api, "POST", where, app=app, note=note)
    return reply.decode(list[models.Pod])


async def _target(api: Api, app: str, target: str) -> list[str]:
    """A type, or type and instance: what runs decides, else the shape of the name."""
    running = await pods(api, app)
    for pod in running:
        if target in (pod.name, pod.name.removeprefix(f"{app}-")):
            return [pod.type, pod.name]
    if "-" not in target or target in {pod.type for pod in running}:
        return [target]
    words = target.removeprefix(f"{app}-").split("-")
    hashed = len(words) > 2 and re.fullmatch(r"[a-z0-9]{8,10}", words[-2]) and len(words[-1]) == 5
    kind = words[0] if hashed or len(words) == 2 else words[1]
    return [kind, target]
