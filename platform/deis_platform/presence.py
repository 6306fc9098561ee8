"""How a service shows that it is there: as a NATS micro-service, for the manager and operators."""

import asyncio
import os
from collections.abc import Mapping
from importlib.metadata import version
from socket import gethostname
from typing import Any

from deis_bus.clock import timestamp
from deis_bus.errors import Transient
from deis_bus.ports import Bus, ServiceInfo
from deis_bus.rpc import Handler, Method, endpoints
from deis_platform.logs import get_logger
from deis_platform.runner import wait_for_stop

log = get_logger(__name__)
PAUSE_SECONDS = 0.5


class Presence:
    """A part: announces the service, and answers its requests, whenever the bus is there."""

    name = "presence"

    def __init__(
        self,
        bus: Bus,
        service: str,
        description: str,
        handlers: Mapping[Method[Any, Any], Handler] | None = None,
    ) -> None:
        self.serving = asyncio.Event()
        """Set while requests are taken (those of an absent bus: from its return on)."""
        self._bus = bus
        self._info = service_info(service, description)
        self._endpoints = endpoints(handlers or {}, _unexpected)

    async def run(self, stop: asyncio.Event) -> None:
        """Be there until stopped."""
        while not stop.is_set():
            try:
                async with self._bus.serve(self._info, self._endpoints):
                    self.serving.set()
                    await stop.wait()
            except Transient as fault:
                log.info("cannot be announced now", service=self._info.name, fault=str(fault))
                await wait_for_stop(stop, PAUSE_SECONDS)
            finally:
                self.serving.clear()


def _unexpected(subject: str, fault: Exception) -> None:
    """A bug in a handler: the caller got a 500, the log has the rest."""
    log.error("request failed", subject=subject, exc_info=fault)


def service_info(name: str, description: str) -> ServiceInfo:
    """Name, version, and since when, where and as which process."""
    return ServiceInfo(
        name=name,
        version=version("deis-workflow"),
        description=description,
        metadata={"started": timestamp(), "host": gethostname(), "pid": str(os.getpid())},
    )
