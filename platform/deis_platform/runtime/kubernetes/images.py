"""What a registry says of an image before a release of it is written (api.md 23.3, 25).

It is asked for each release once: a release that was let in is written again from what its Secret
remembers, so a scale or a repair needs no registry. Where the port is known, only a registry that
knows the image may forbid it; one that only the nodes reach is left to them.
"""

import asyncio
from typing import Protocol

from deis_bus.contracts.runtime import AppSpec, RunTask
from deis_bus.errors import Refused, Transient
from deis_platform.logs import get_logger
from deis_platform.runtime.kubernetes import marks, names, pods
from deis_platform.runtime.kubernetes.cluster import Cluster

log = get_logger(__name__)

KIND = "image"
"""Of the refusals made here: nothing was written."""
PATIENCE_SECONDS = 10.0
"""For an answer that a release can do without; one that it needs takes as long as the registry's
own limits allow."""
CERTAIN = frozenset({"invalid", "reserved", "absent", "denied", "unusable"})
"""Kinds of refusals that hold for the nodes, too; the others are about us and that registry."""
PRIVATE_PORT = "PORT needs to be set in the application config when using a private registry"
NO_PORT = "Expose a port or make the app non routable by changing the process type"
HINT = "where the nodes can pull it all the same, set PORT"


class Inspect(Protocol):
    """Asks a registry for the port that an image exposes."""

    async def __call__(self, image: str, credentials: dict[str, str]) -> int:
        """0 for none. Raises Refused 400 with the registry's kinds; Transient while it is away."""
        ...


class Images:
    """The registry, and what is known of the images of releases that are there."""

    def __init__(self, inspect: Inspect, cluster: Cluster) -> None:
        self._inspect = inspect
        self._cluster = cluster

    async def port(self, spec: AppSpec) -> int:
        """The port that the image exposes; 0: none, not known, or a slug.

        Raises Refused 400 `image`: no such image, no right to it, or no port where one is needed.
        """
        if spec.artifact.slug:
            return 0
        routed = any(process.routable for process in spec.processes)
        needed = routed and not pods.port_of(spec.environment, spec.artifact)
        known = self._known(spec.app, spec.appuuid, spec.release, spec.artifact.image)
        if known or (known == 0 and not needed):
            return known
        if needed and spec.pull_secret.get("username"):
            raise Refused(400, PRIVATE_PORT, KIND)
        exposed = await self._asked(spec.artifact.image, spec.pull_secret, needed=needed)
        if needed and not exposed:
            raise Refused(400, NO_PORT, KIND)
        return exposed

    async def port_of_run(self, task: RunTask) -> int:
        """The same for a one-off command, which can do without."""
        if task.artifact.slug or pods.port_of(task.environment, task.artifact):
            return 0
        known = self._known(task.app, task.appuuid, task.release, task.artifact.image)
        if known is not None:
            return known
        return await self._asked(task.artifact.image, task.pull_secret, needed=False)

    def _known(self, app: str, appuuid: str, release: int, image: str) -> int | None:
        """The port that was found when this release was let in; None where it was not yet."""
        held = self._cluster.held(app, appuuid)
        secret = self._cluster.secrets.get(app, {}).get(names.env_secret(app, release))
        if held is None or secret is None:
            return None
        told = secret.metadata.annotations
        return marks.number(told.get(names.EXPOSED, "")) if told.get(names.IMAGE) == image else None

    async def _asked(self, image: str, credentials: dict[str, str], *, needed: bool) -> int:
        try:
            async with asyncio.timeout(None if needed else PATIENCE_SECONDS):
                return await self._inspect(image, credentials)
        except Refused as fault:
            if fault.kind in CERTAIN:
                raise Refused(400, fault.detail, KIND) from fault
            why = fault.detail
        except Transient as fault:
            why = str(fault)
        except TimeoutError:
            why = "its registry takes too long"
        if needed:
            raise Refused(400, f"{why}; {HINT}", KIND)
        log.info("an image is left to the nodes", image=image, why=why)
        return 0
