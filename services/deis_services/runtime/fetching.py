"""The artifact of a release on this machine: fetched once, however many instances wait for it."""

import asyncio
from collections.abc import Callable

from deis_bus.contracts.runtime import AppSpec
from deis_bus.errors import Transient
from deis_platform.retry import delays
from deis_services.runtime.workspace import Prepared, Workspace

Say = Callable[[str], None]


class Fetching:
    """The artifacts of one application."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._tasks: dict[str, asyncio.Task[Prepared]] = {}

    async def get(self, spec: AppSpec, say: Say) -> Prepared:
        """The artifact, as soon as it is there; `say` hears why it takes long.

        Raises Refused with words for the user when it will never be.
        """
        key = key_of(spec)
        task = self._tasks.get(key)
        if task is None or task.done():
            task = asyncio.create_task(self._fetch(spec, say), name=f"fetch {key}")
            task.add_done_callback(_heard)
            self._tasks[key] = task
        return await asyncio.shield(task)

    async def keep_only(self, keys: set[str]) -> None:
        """Give up what nobody waits for any more."""
        dropped = [key for key in self._tasks if key not in keys]
        tasks = [self._tasks.pop(key) for key in dropped]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _fetch(self, spec: AppSpec, say: Say) -> Prepared:
        say("its slug is being fetched")
        for pause in delays():
            try:
                return await self._workspace.prepare(spec.app, spec.appuuid, spec.artifact)
            except Transient as fault:
                say(f"its slug could not be fetched: {fault}")
            await asyncio.sleep(pause)
        raise ValueError("pauses ended")


def _heard(task: asyncio.Task[Prepared]) -> None:
    """Who waited for it may be gone; then nobody asks for its fault."""
    if not task.cancelled():
        task.exception()


def key_of(spec: AppSpec) -> str:
    """The artifact's name."""
    return spec.artifact.slug or spec.artifact.image
