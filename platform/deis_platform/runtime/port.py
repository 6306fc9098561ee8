"""The runtime port (DESIGN 6): where applications and builds run.

Implementations: `local` (the runtime service on this machine), `kubernetes` (pods), `memory` (the
twin). All pass one behaviour suite. Values are in `deis_bus.contracts.runtime`.
"""

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from deis_bus.contracts.runtime import (
    AppRef,
    AppSpec,
    AppStatus,
    BuildJoin,
    BuildRun,
    Instance,
    Restart,
    RunTask,
)
from deis_bus.routes import AppRoute


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """Something about an application changed: read its status. `app` empty: read all of them."""

    app: str = ""
    appuuid: str = ""


class BuildRuntime(Protocol):
    """What a build worker needs of a runtime; every call may raise Transient, and Refused."""

    async def build(self, task: BuildRun) -> None:
        """Start a build; its byte stream carries output and exit code."""

    async def join_build(self, join: BuildJoin) -> None:
        """Go on with a build's output over another stream. Raises Refused 404 where it is unknown."""

    async def stop_build(self, task_id: str) -> None:
        """End a build that may still run."""


class Runtime(BuildRuntime, Protocol):
    """Runs what it is told to; every call may raise Transient, and Refused where noted."""

    async def claim(self, app: AppRef) -> None:
        """Keep the application's name for it, before it has a release. Raises Refused 409
        `foreign` where something else of the runtime's surroundings has that name."""

    async def apply(self, spec: AppSpec) -> None:
        """Make this the wanted state and return at once; `status` tells how far it is.

        Old instances serve until the new ones are ready. Raises Refused 409 `stale` for an
        older generation, 400 for a spec this runtime cannot run, with a sentence for the user: of
        kind `image` where the image cannot be had, and then nothing was changed.
        """

    async def remove(self, app: AppRef) -> None:
        """End everything of the application and forget it; nothing there is no error."""

    async def clear(self, app: AppRef) -> None:
        """End everything of the application, but keep its name: nothing of it is wanted now."""

    async def status(self, app: AppRef) -> AppStatus:
        """How far the runtime is; generation 0 when it holds nothing."""
        ...

    async def instances(self, app: AppRef) -> tuple[Instance, ...]:
        """What runs now, newest first, one-off commands included (type `run`)."""
        ...

    async def restart(self, restart: Restart) -> tuple[Instance, ...]:
        """Replace instances, wait until as many are ready (bounded), give them as they are then."""
        ...

    async def run(self, task: RunTask) -> None:
        """Start a one-off command; its byte stream carries the rest."""

    async def held(self) -> tuple[AppRef, ...]:
        """Every application the runtime holds something of."""
        ...

    def watch(self) -> AsyncIterator[Observation]:
        """Nudges, for ever; one for everything first and after every gap."""
        ...


class RoutedRuntime(Protocol):
    """A runtime that also keeps how requests reach an application."""

    async def route(self, route: AppRoute) -> None:
        """Make it so; writes only what differs. Raises Transient, Refused 409 `foreign`."""

    def routed(self, app: str) -> bool:
        """Whether something of that name can be reached already."""
        ...
