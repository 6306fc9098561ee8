"""An operator at a terminal, and the controller's part where the test itself plays it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from deis_bus.contracts.apps import APP_FIND, AppFind, AppFound
from deis_bus.contracts.push import APPS_ALIVE, AppsAlive, AppsAliveAnswer
from deis_bus.errors import Refused
from deis_bus.jetstream import JetStreamBus, connect
from deis_bus.ports import Bus, ServiceInfo
from deis_bus.rpc import Context, Handler, Method, endpoints
from deis_bus.streams import BUCKETS, STREAMS
from integration.platform_up import Platform

SECONDS = 60.0


class Typed(msgspec.Struct, frozen=True):
    """What a command printed, both streams together, and its exit code."""

    code: int
    text: str


async def typed(data: Path, *words: str, environ: dict[str, str] | None = None) -> Typed:
    """Run `deis-platform` with these words on this data folder."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deis_services.main", *words, "--data", str(data)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"PYTHONSAFEPATH": "1"} | (environ or {}),
    )
    try:
        raw, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return Typed(process.returncode or 0, raw.decode())


def bus_as(platform: Platform, user: str) -> AbstractAsyncContextManager[JetStreamBus]:
    """The platform's bus as one of its services."""
    password = (platform.data / "secrets" / f"nats-{user}").read_text().strip()
    return connect(str(platform.ready["nats"]), user, user=user, password=password)


@asynccontextmanager
async def controller(platform: Platform, apps: dict[str, str]) -> AsyncIterator[JetStreamBus]:
    """A controller that knows these applications, by name, and has made the streams."""

    async def find(question: AppFind, _: Context) -> AppFound:
        if question.app not in apps:
            raise Refused(404, f"there is no application {question.app}")
        return AppFound(apps[question.app])

    async def alive(question: AppsAlive, _: Context) -> AppsAliveAnswer:
        return AppsAliveAnswer(tuple(u for u in question.appuuids if u in apps.values()))

    handlers: dict[Method[Any, Any], Handler] = {APP_FIND: find, APPS_ALIVE: alive}
    async with bus_as(platform, "controller") as bus:
        await bus.ensure(STREAMS, BUCKETS)
        async with bus.serve(info("controller"), endpoints(handlers, _unexpected)):
            yield bus


def info(name: str, version: str = "0.1.0", **metadata: str) -> ServiceInfo:
    """How a component announces itself."""
    return ServiceInfo(name=name, version=version, metadata=metadata)


async def bury(bus: Bus, subject: str, headers: dict[str, str], reason: str) -> None:
    """A message that the controller could not handle."""
    told = {"deis-dead-subject": subject, "deis-dead-durable": "controller"}
    await bus.store(
        "deis.dead." + subject.removeprefix("deis."),
        b"{}",
        headers | told | {"deis-dead-reason": reason, "deis-dead-attempt": "5"},
    )


def _unexpected(subject: str, fault: Exception) -> None:
    raise AssertionError(subject) from fault
